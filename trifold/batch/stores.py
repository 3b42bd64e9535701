"""Which store a job uses, and the runs of all jobs in whichever they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from trifold.batch.job import Job
from trifold.batch.store import Store
from trifold.contract.contract import Contract
from trifold.errors import JobError
from trifold.versions import Version


def open_store(job: Job, version: Version, contract: Contract, environment: Mapping[str, str]) -> Store:
    """The store that a job's sink names.

    Raises:
        JobError: The environment lacks what it needs.
    """
    if job.sink:
        from trifold.batch.files import FileStore

        return FileStore(job, version, contract, environment)
    from trifold.batch.postgres import Postgres

    uri, schema = _database(environment)
    return Postgres(uri, schema, job, version, contract, environment)


def list_runs(jobs: Sequence[Job], environment: Mapping[str, str], most: int) -> list[dict[str, Any]]:
    """The newest runs of some jobs, as `trifold runs` shows them: the newest slot first.

    Raises:
        JobError: The environment lacks what it needs.
        Unavailable: A database or storage is away.
    """
    found: list[dict[str, Any]] = []
    for job in jobs:
        if job.sink:
            from trifold.batch import slot_runs
            from trifold.batch.folders import open_folder

            found += slot_runs.listed(open_folder(f"{job.sink}/{job.name}", environment), job.name, most)
    names = [job.name for job in jobs if not job.sink]
    if names:
        from trifold.batch import postgres

        found += postgres.list_runs(*_database(environment), names, most)
    return sorted(found, key=lambda run: (run["slot"], run["job"]), reverse=True)[:most]


def schema_of(environment: Mapping[str, str]) -> str:
    """The release's schema.

    Raises:
        JobError: The environment does not say it.
    """
    schema = environment.get("TRIFOLD_DATABASE_SCHEMA", "")
    if not schema:
        raise JobError("TRIFOLD_DATABASE_SCHEMA is not set; the chart sets it to the release's schema.")
    return schema


def _database(environment: Mapping[str, str]) -> tuple[str, str]:
    return environment.get("TRIFOLD_DATABASE_URI", ""), schema_of(environment)
