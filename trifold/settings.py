"""Settings of a running process, read from the environment once, at the edge."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trifold.errors import TrifoldError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


@dataclass(frozen=True)
class Settings:
    """What a server may be told from outside.

    Attributes:
        model: Folder of the packed model; None: the one that the Bento names.
        digest: The digest that the model must have; None: any.
        host: Address to listen on.
        port: Port to listen on.
        threads: Threads of BLAS and OpenMP in one prediction.
        max_body_bytes: Largest request body.
        max_rows: Most rows in one request.
        max_waiting: Most requests that wait for the model at once; above, 503 with Retry-After.
    """

    model: Path | None = None
    digest: str | None = None
    host: str = "0.0.0.0"
    port: int = 3000
    threads: int = 1
    max_body_bytes: int = 10_000_000
    max_rows: int = 10_000
    max_waiting: int = 64

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the TRIFOLD_* variables.

        Raises:
            TrifoldError: A number is not one, or not positive.
        """
        model = environment.get("TRIFOLD_MODEL")
        return cls(
            model=Path(model) if model else None,
            digest=environment.get("TRIFOLD_DIGEST") or None,
            host=environment.get("TRIFOLD_HOST") or cls.host,
            **{
                name: _positive(environment, f"TRIFOLD_{name.upper()}", getattr(cls, name))
                for name in ("port", "threads", "max_body_bytes", "max_rows", "max_waiting")
            },
        )


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) == 0:
        raise TrifoldError(f"{name} is {text!r}; set it to a whole number above 0.")
    return int(text)
