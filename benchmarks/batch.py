"""A table of PostgreSQL scored into another: Trifold beside its peers, interleaved in one go (benchmarks/README.md).

Every round runs each of them once, in a process of its own, from the first statement to the last commit.
Usage: .venv/bin/python benchmarks/batch.py [--rows 1000000] [--rounds 2] [--markdown] [--memory]
"""
# ruff: noqa: S608 - all names in its SQL are ours

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_setup import (
    SCHEMA,
    SOURCE,
    Server,
    fill,
    migrated,
    models,
    own_environment,
    peer_python,
    run,
    server,
    target,
)
from batch_tables import MEMORY, SPEED, floor_line, forest_words, memory_line, path_line, show
from processes import Failed, Measured, measure

SCRIPTS = Path(__file__).resolve().parent / "batch_peers"
PATHS = {
    "trifold": ("Trifold", "trifold_job.py"),
    "pandas": ("pandas read_sql + to_sql", "pandas_sql.py"),
    "ray": ("Ray Data map_batches", "ray_data.py"),
    "adbc": ("ADBC both ways, no checks", "adbc_copy.py"),
}
FLOORS = {
    "freeze": "floor: CREATE TABLE AS",
    "read": "floor: COPY out",
    "write": "floor: INSERT with a key",
    "predict": "floor: predict in blocks",
}
ALL = f"SELECT * FROM {SOURCE}"
SCORED = f'SELECT key::bigint AS id, prediction, "probability_No", "probability_Yes" FROM {SCHEMA}.predictions'
MEMORY_TIMES = 10
"""How many times as many rows --memory tries afterwards."""


@dataclass(frozen=True)
class Bench:
    """All that stands ready.

    Attributes:
        server: The database server.
        folder: For logs and models.
        built: The models' builds, by name.
        pythons: Each path's Python.
    """

    server: Server
    folder: Path
    built: dict[str, Any]
    pythons: dict[str, str]

    @property
    def uri(self) -> str:
        """The database's address."""
        return self.server.uri()

    def once(self, path: str, *, model: str = "linear", query: str = ALL, **more: str) -> Measured:
        """Run one path once, into an empty target."""
        own = own_environment(self.uri, self.built[model], query)
        if path == "trifold":
            migrated(self.uri, self.built[model], query)
        else:
            target(self.uri, f"scored_{path}")
        peer = {
            "URI": self.uri,
            "QUERY": query,
            "TARGET": f"scored_{path}",
            "MODEL": str(self.folder / "linear.joblib"),
        }
        place = {"FOLDER": str(self.folder), "PYTHONPATH": "" if path in ("pandas", "ray") else own["PYTHONPATH"]}
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        run(self.uri, "CHECKPOINT")  # what came before is written, and not while this one is measured
        script = SCRIPTS / (PATHS[path][1] if path in PATHS else "floors.py")
        return measure(
            [self.pythons.get(path, str(self.built[model].python)), str(script)],
            {**os.environ, **threads, **own, **peer, **place, **more},
            server=self.server.process.pid,
            log=self.folder / "log",
            tree=path == "ray",
        )

    def floors(self, parts: Sequence[str], **more: str) -> dict[str, float]:
        """Seconds of each part alone."""
        found: dict[str, float] = self.once("floors", PARTS=" ".join(parts), **more).said["parts"]
        run(self.uri, "DROP TABLE IF EXISTS floor_frozen")
        return found

    def compare(self, paths: Sequence[str]) -> None:
        """End the run where predictions are not Model.predict's: bit by bit ours, to 1e-12 the peers'."""
        names = {PATHS[path][0]: SCORED if path == "trifold" else f"SELECT * FROM scored_{path}" for path in paths}
        built = self.built["linear"]
        own = own_environment(self.uri, built, "") | {"URI": self.uri, "QUERY": ALL}
        command = [str(built.python), str(SCRIPTS / "compare.py"), json.dumps(names)]
        done = subprocess.run(command, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True, check=True)
        wrong = [f"{name}: {words}" for name, words in json.loads(done.stdout).items() if words]
        if wrong:
            sys.exit("The predictions are not those of Model.predict: " + "; ".join(wrong))
        tell(f"{len(names)} tables hold the labels of Model.predict and its probabilities")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--forest-rows", type=int, default=200_000, help="of the rows, for the forest; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--paths", default=",".join(PATHS), help=f"which of {','.join(PATHS)}; default: all")
    parser.add_argument("--memory", action="store_true", help="only our peak memory, at --rows and ten times that")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    options = parser.parse_args()
    paths = options.paths.split(",")
    if not set(paths) <= PATHS.keys():
        parser.error(f"--paths takes {','.join(PATHS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is ended too
    try:
        with tempfile.TemporaryDirectory(prefix="trifold-bench-") as folder:
            tell("building the models and the peers' environments")
            built = models(Path(folder))
            pythons = {} if options.memory else {name: peer_python(name) for name in ("pandas", "ray") if name in paths}
            with server() as found:
                bench = Bench(found, Path(folder), built, pythons)
                if options.memory:
                    memory(bench, options)
                else:
                    speed(bench, paths, options)
    except Failed as error:
        sys.exit(f"A process did not do its work; the end of what it printed:\n{error}")


def speed(bench: Bench, paths: Sequence[str], options: argparse.Namespace) -> None:
    """Measure the paths, their floors and the forest in turn, and print the tables."""
    tell(f"filling {options.rows:,} rows")
    fill(bench.server, options.rows)
    found: dict[str, list[Measured]] = defaultdict(list)
    floors: dict[str, list[float]] = defaultdict(list)
    forest: list[tuple[float, float]] = []
    few = f"{ALL} WHERE id <= {options.forest_rows}"
    for number in range(options.rounds):
        for path in paths:
            tell(f"round {number + 1}/{options.rounds}: {PATHS[path][0]}")
            found[path].append(bench.once(path))
        tell(f"round {number + 1}/{options.rounds}: floors")
        for part, seconds in bench.floors(list(FLOORS)).items():
            floors[part].append(seconds)
        if number + 1 == options.rounds:
            bench.compare(paths)
        if options.forest_rows:
            tell(f"round {number + 1}/{options.rounds}: forest")
            whole = bench.once("trifold", model="forest", query=few).seconds
            forest.append((whole, bench.floors(["predict"], model="forest", query=few)["predict"]))
    lines = [path_line(PATHS[path][0], found[path], found["pandas"], options.rows) for path in paths]
    lines += [floor_line(FLOORS[part], seconds, options.rows) for part, seconds in floors.items()]
    show(SPEED, lines, markdown=options.markdown)
    if forest:
        print("\n" + forest_words(forest, min(options.forest_rows, options.rows)))


def memory(bench: Bench, options: argparse.Namespace) -> None:
    """Measure ours at so many rows and at ten times as many, each alone on the disk, and print the table."""
    found = []
    for count in (options.rows, options.rows * MEMORY_TIMES):
        tell(f"filling {count:,} rows")
        fill(bench.server, count)
        tell(f"scoring {count:,} rows")
        found.append((count, bench.once("trifold")))
    [(_, first), _] = found
    show(MEMORY, [memory_line(*each, first) for each in found], markdown=options.markdown)


def tell(line: str) -> None:
    """Say how far it is."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
