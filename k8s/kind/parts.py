"""Parts: where things are made before they get their name, so that a run which is killed leaves nothing half done."""

import os
import subprocess
from pathlib import Path

PARTS = "parts"


def new(cache: Path, name: str) -> Path:
    """An empty folder for this process alone: what a killed run started may still be writing to its own."""
    folder = cache / PARTS / f"{name}-{os.getpid()}"
    remove(folder)
    folder.mkdir(parents=True)
    return folder


def sweep(cache: Path) -> None:
    """Delete what killed runs left."""
    remove(cache / PARTS)


def remove(folder: Path) -> None:
    """Delete a folder, but nothing that was left mounted in it."""
    if folder.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False, capture_output=True)
