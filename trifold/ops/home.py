"""Where Trifold keeps what it makes on this machine."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder of service.py, bentofile.yaml and pyproject.toml."""

STALE_SECONDS = 86_400


def home() -> Path:
    """The folder of MLflow's local store, fetched models, environments and the Bento store.

    TRIFOLD_HOME, or .trifold beside service.py; git ignores it, and no build context includes it.
    """
    folder = Path(os.environ.get("TRIFOLD_HOME") or ROOT / ".trifold").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def part_folder() -> Iterator[Path]:
    """A new folder in Trifold's home to make something in; `finish` puts it where it is looked for.

    It is removed at the end, or a day later if the process was killed.
    """
    parts = home() / "parts"
    parts.mkdir(exist_ok=True)
    for old in parts.iterdir():
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(old)
    with tempfile.TemporaryDirectory(dir=parts) as part:
        yield Path(part)


def finish(made: Path, target: Path) -> None:
    """Rename a folder to `target`, all at once; a `target` that somebody else finished first is kept."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.rename(target)
    except OSError:
        if not target.is_dir():
            raise


@contextmanager
def finished_folder(target: Path) -> Iterator[Path]:
    """A new folder that becomes `target` only when all of it is there; whatever fails leaves nothing behind."""
    with part_folder() as part:
        folder = part / target.name
        folder.mkdir()
        yield folder
        finish(folder, target)
