"""Settings of a running process, read from the environment once, at the edge."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trifold.errors import TrifoldError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
WHOLE = re.compile(r"[0-9]{1,18}")
MOST = {
    "port": 65_535,
    "threads": 1024,
    "max_body_bytes": 2**40,
    "max_rows": 2**40,
    "max_waiting": 2**40,
    "max_held_bytes": 2**40,
    "body_seconds": 86_400,
    "drain_seconds": 3_600,
}
"""The numbers among the settings, and the greatest that makes sense."""
LEAST = {"drain_seconds": 0}
"""The least that makes sense, where it is not 1."""


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
        max_waiting: Most requests that wait for the model at once; above, or where what waits would take longer than
            a second (trifold/online/admission.py), 503 with Retry-After.
        max_held_bytes: Most bytes of bodies over 64 KB that are held at once, and of smaller ones that wait for the
            model; above, 503 with Retry-After.
        body_seconds: Most seconds that a body may take to come; after, 408.
        drain_seconds: Seconds after SIGTERM in which requests are still answered (trifold/online/drain.py).
    """

    model: Path | None = None
    digest: str | None = None
    host: str = "0.0.0.0"
    port: int = 3000
    threads: int = 1
    max_body_bytes: int = 10_000_000
    max_rows: int = 10_000
    max_waiting: int = 1024
    max_held_bytes: int = 100_000_000
    body_seconds: int = 60
    drain_seconds: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the TRIFOLD_* variables.

        Raises:
            TrifoldError: A number is not one, or smaller or larger than makes sense.
        """
        model = environment.get("TRIFOLD_MODEL")
        return cls(
            model=Path(model) if model else None,
            digest=environment.get("TRIFOLD_DIGEST") or None,
            host=environment.get("TRIFOLD_HOST") or cls.host,
            **{
                name: _whole(environment, f"TRIFOLD_{name.upper()}", getattr(cls, name), LEAST.get(name, 1), most)
                for name, most in MOST.items()
            },
        )


def _whole(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environment.get(name) or str(default)
    if not WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise TrifoldError(f"{name} is {text[:50]!r}; set it to a whole number from {least} to {most}.")
    return int(text)
