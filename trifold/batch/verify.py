"""What `helm test` runs of a release's batch part: the model's example as a slot of its own, compared with its answers.

It goes the whole way: frozen input, contract, blocks, COPY, commit. It leaves no more than its last run, in the schema
or folder that belongs to tests.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trifold import bento
from trifold.answers import agrees, gathered
from trifold.batch.job import Job, Retention
from trifold.batch.migrate import TEST
from trifold.batch.reports import Reports
from trifold.batch.schedule import Schedule
from trifold.batch.score import Scorer
from trifold.batch.statistics import Bins
from trifold.batch.stores import open_store
from trifold.contract.signature import Column
from trifold.errors import JobError, TrifoldError
from trifold.model import Model
from trifold.packed import Packed, read_expected
from trifold.rows import Array
from trifold.settings import Settings
from trifold.versions import load

KEY = "trifold_row"


def verify(jobs: Sequence[Job], environment: Mapping[str, str]) -> str:
    """Score the example into each kind of sink that the jobs have; gives a sentence that says so.

    Raises:
        JobError: There is no job.
        TrifoldError: It could not be scored, or the answers are others than at build.
    """
    if not jobs:
        raise JobError("The release has no batch job; set batch.jobs.")
    settings = Settings.from_environment(environment)
    folder = settings.model or bento.packed_model()
    packed = Packed.read(folder)
    model, version = load(folder, settings)
    bins, sinks = Bins.of(model, folder), {job.sink: job for job in jobs}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "example.parquet"
        pq.write_table(example(model, packed), file)
        for sink, job in sinks.items():
            test = testing(job, file.as_uri())
            told = {**environment, "TRIFOLD_DATABASE_SCHEMA": environment.get("TRIFOLD_DATABASE_SCHEMA", "") + TEST}
            store = open_store(test, version, model.contract, told)
            scorer = Scorer(test, 0, store, model, bins, Reports(test, packed, model, bins, {}))
            slot = datetime.now(UTC).replace(second=0, microsecond=0)
            run = scorer.run(slot, f"test at {time.time()}", replace=True)
            found = store.predictions(run, len(packed.input_example))
            answers = gathered([(prediction, scores) for _, prediction, scores in found], model.labels)
            if not agrees(answers, read_expected(folder)):
                where = sink or "PostgreSQL"
                raise TrifoldError(
                    f"{where} holds other answers to the model's example than scikit-learn gave at build."
                )
            store.retire()
    names = " and ".join(sink or "PostgreSQL" for sink in sinks)
    count = len(packed.input_example)
    return f"{packed.name} version {packed.version} scored its example ({count} rows) into {names} as at build"


def example(model: Model, packed: Packed) -> pa.Table:
    """The input example as a table, its keys in the order of the rows."""
    rows = model.contract.check_rows(packed.input_example).rows
    arrays = rows.columns.values() if rows.columns else np.asarray(rows.matrix).T
    columns = {
        column.name: _array(column, values)
        for column, values in zip(model.contract.signature.columns, arrays, strict=True)
    }
    return pa.table({KEY: [f"{number:06d}" for number in range(len(rows))], **columns})


def _array(column: Column, values: Array) -> pa.Array:
    dtype = column.dtype
    return pa.array(values, pa.timestamp(dtype.unit, "UTC") if dtype and dtype.zone else None, from_pandas=True)


def testing(job: Job, files: str) -> Job:
    """The job of a test, which reads a file and writes where the job's tests go."""
    return replace(
        job,
        name="helm-test",
        schedule=Schedule.parse("* * * * *", "Etc/UTC"),
        key=KEY,
        keep=(),
        shards=1,
        max_reject_rate=0.0,
        catch_up=0,
        query="",
        files=files,
        sink=job.sink and f"{job.sink}/{TEST.strip('_')}",
        retention=Retention(0, 0, 0),
    )
