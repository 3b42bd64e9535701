"""Trifold: a model from MLflow's registry as a web service, a batch job and a stream consumer."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["log_model"]


def __getattr__(name: str) -> Any:
    # log_model needs mlflow, which a running image does not carry: it is imported when asked for.
    if name == "log_model":
        from trifold.training import log_model

        return log_model
    raise AttributeError(f"module 'trifold' has no attribute {name!r}")
