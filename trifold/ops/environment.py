"""A model's own environment on this machine: the packages of its lock and nothing else.

Check, build and serve run the model there, so that what they say is said of the versions that will run.
"""

import hashlib
import sys
from pathlib import Path

from trifold.errors import TrifoldError
from trifold.ops.home import finished_folder, home
from trifold.ops.requirements import IMAGE_PYTHON, run_uv


def python(lock: str, *options: str) -> Path:
    """The Python of the lock's environment, which is made if it is not there yet.

    It is the image's Python version where this machine has it, or else the running one.

    Args:
        lock: The packages.
        options: More for `uv pip install`.

    Raises:
        TrifoldError: A package of the lock cannot be installed.
    """
    version = python_version()
    key = hashlib.sha256(f"{version}\n{lock}".encode()).hexdigest()[:16]
    folder = home() / "environments" / key
    if not folder.is_dir():
        with finished_folder(folder) as part:
            _run("venv", "--quiet", "--relocatable", "--allow-existing", "--python", version, str(part))
            file = part / "requirements.lock"
            file.write_text(lock)
            _run(
                "pip", "install", "--quiet", "--no-deps", "--require-hashes", *options,
                "--python", str(part / "bin" / "python"), "-r", str(file),
            )  # fmt: skip
    return folder / "bin" / "python"


def python_version() -> str:
    """The version of Python of every environment, or the path of the running one."""
    found = run_uv("python", "find", "--no-python-downloads", IMAGE_PYTHON)
    return IMAGE_PYTHON if found.returncode == 0 else sys.executable


def _run(*arguments: str) -> None:
    done = run_uv(*arguments)
    if done.returncode != 0:
        last = " ".join(done.stderr.split())[-400:]
        raise TrifoldError(f"uv could not make the model's environment: {last}")
