"""What the report draws before a forecast: times and values, from a query or a file."""

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from trifold.batch.job import Job, bound
from trifold.batch.storage import locate, readable
from trifold.database import Database
from trifold.errors import InputRefused

SCHEMES = ("file://", "s3://")


def history_of(job: Job, window: tuple[datetime, datetime], environment: Mapping[str, str]) -> list[tuple[str, float]]:
    """The first two columns of a job's history, time and value; without rows that lack one.

    Raises:
        JobError: The query is wrong, or nobody may read the file.
        InputRefused: It has fewer columns, or values that are no numbers.
        Unavailable: What holds it is away.
    """
    if job.history.startswith(SCHEMES):
        table = _read(job.history, environment)
        if table.num_columns < 2:
            raise InputRefused(f"{job.history} needs two columns, a time and a value.")
        with readable(job.history):
            rows = [*zip(table.column(0).to_pylist(), table.column(1).cast(pa.float64()).to_pylist(), strict=True)]
    else:
        with Database(environment.get("TRIFOLD_DATABASE_URI", "")) as database:
            rows = database.rows(f"SELECT h.* FROM ({bound(job.history, window)}\n) AS h")
    return [(str(time), float(value)) for time, value in rows if time is not None and value is not None]


def _read(address: str, environment: Mapping[str, str]) -> pa.Table:
    system, path = locate(address, environment)
    with readable(address):
        if path.endswith(".parquet"):
            with system.open_input_file(path) as file:
                return pq.read_table(file)
        with system.open_input_stream(path, compression="detect") as stream:
            options = csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
            return csv.read_csv(stream, convert_options=options)
