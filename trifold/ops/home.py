"""Where Trifold keeps what it makes on this machine."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder of service.py, bentofile.yaml and pyproject.toml."""


def home() -> Path:
    """The folder of MLflow's local store, fetched models, environments and the Bento store.

    TRIFOLD_HOME, or .trifold beside service.py; git ignores it, and no build context includes it.
    """
    folder = Path(os.environ.get("TRIFOLD_HOME") or ROOT / ".trifold").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def finished_folder(target: Path) -> Iterator[Path]:
    """A new folder that becomes `target` only when all of it is there; whatever fails leaves nothing behind.

    A `target` that somebody else finished first is kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as parts:
        folder = Path(parts) / target.name
        folder.mkdir()
        yield folder
        if not target.exists():
            folder.rename(target)
