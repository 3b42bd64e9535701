"""Trifold: a model from MLflow's registry as a web service, a batch job and a stream consumer."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Feature", "ImageInput", "log_model", "read_pictures"]

# Imported when asked for: training needs mlflow, which a running image does not carry.
_HOMES = {
    "Feature": "trifold.contract.profile",
    "ImageInput": "trifold.contract.profile",
    "log_model": "trifold.training",
    "read_pictures": "trifold.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trifold' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
