"""The batch commands of the image beside cronjobs/score.py: migrate, runs, verify."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence

from trifold import bento
from trifold.batch.job import Job
from trifold.batch.migrate import TEST, migrate, tables, views
from trifold.batch.stores import list_runs, schema_of
from trifold.batch.verify import verify
from trifold.database import Database
from trifold.errors import JobError
from trifold.exits import exit_code
from trifold.settings import Settings
from trifold.versions import load


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m trifold.batch", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("migrate", help="make or update the tables and views, as their owner")
    made.add_argument("--print", action="store_true", help="print the SQL instead, to run it by hand with psql")
    made.add_argument("--scorer", default="", help="role that scores; by default the one of TRIFOLD_DATABASE_URI")
    runs = commands.add_parser("runs", help="print the newest runs as JSON")
    runs.add_argument("--limit", type=int, default=20)
    commands.add_parser("verify", help="score the model's example in a schema of its own, and compare")
    return parser.parse_args(argv)


def jobs_of(environment: Mapping[str, str]) -> list[Job]:
    """The release's jobs."""
    try:
        return [Job.from_json(document) for document in json.loads(environment.get("TRIFOLD_JOBS", "[]"))]
    except ValueError as error:
        raise JobError(f"TRIFOLD_JOBS holds no jobs ({error}); the chart sets it.") from None


def _migrate(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    settings, schema = Settings.from_environment(environment), schema_of(environment)
    _, version = load(settings.model or bento.packed_model(), settings)
    scorer = options.scorer
    if options.print:
        scorer = scorer or "scorer"
        for name in (schema, schema + TEST):
            print(tables(name, scorer, version) + "\n" + views(name, scorer, version, version.classes))
        return
    if not scorer:
        with Database(environment.get("TRIFOLD_DATABASE_URI", "")) as database:
            [[scorer]] = database.rows("SELECT current_user::text")
    with Database(environment.get("TRIFOLD_OWNER_URI", "")) as database:
        migrate(database, schema, scorer, version, [job.name for job in jobs_of(environment)])
    print(f"schema {schema} is ready for {version.model} version {version.version}; {scorer} may score", flush=True)


def _runs(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    print(json.dumps({"runs": list_runs(jobs_of(environment), environment, options.limit)}), flush=True)


def _verify(_: argparse.Namespace, environment: Mapping[str, str]) -> None:
    print(verify(jobs_of(environment), environment), flush=True)


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run a command; what Trifold refuses is one sentence and an exit code (trifold/exits.py)."""
    commands = {"migrate": _migrate, "runs": _runs, "verify": _verify}

    def command() -> None:
        options = parse(sys.argv[1:] if argv is None else argv)
        commands[options.command](options, environment)

    return exit_code(command)


if __name__ == "__main__":
    sys.exit(main())
