"""What stands in the files of a run: counts, rejects, predictions; and `read_predictions`, for whoever wants those."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trifold.batch.folders import Folder, open_folder
from trifold.batch.slot_runs import done_shards, last_manifest, read_json, run_at, slots_in
from trifold.batch.slots import parse_slot
from trifold.batch.storage import said
from trifold.batch.store import Counts
from trifold.errors import JobError

PROBABILITY = "probability_"


def read_predictions(
    path: str, job: str, slot: datetime | str | None = None, environment: Mapping[str, str] = os.environ
) -> pa.Table:
    """The predictions of a job's slot, as they were published: all of a run's, or none.

    They have the columns key, prediction, probability_<class> of a classifier, lower and upper of a model with an
    interval, kept (JSON) if the job keeps columns, model, version, digest, job, slot and scored_at. By hand: take the
    last of <path>/<job>/<slot>/*/manifest.json and read the files that it names under "predictions"; they are
    relative to <path>/<job>.

    Args:
        path: The job's sink, such as s3://bucket/predictions; S3 is reached as AWS_* of the environment say.
        job: The job's name.
        slot: Such as 2026-11-01T06:00Z; None: the newest that is published.
        environment: Variables.

    Raises:
        JobError: Nothing is published of it.
        Unavailable: The storage is away.
    """
    folder = open_folder(f"{path.rstrip('/')}/{job}", environment)
    wanted = parse_slot(slot) if isinstance(slot, str) else slot
    for _ in range(2):  # a run may be retired while it is read
        for candidate in reversed(slots_in(folder)) if wanted is None else [wanted]:
            manifest = last_manifest(folder, candidate)
            if manifest is None:
                continue
            tables = [_table(folder, part["file"]) for part in manifest["predictions"]]
            if None not in tables:
                return pa.concat_tables(tables)
    raise JobError(f"Nothing is published of {job}{f' in slot {slot}' if slot else ''} at {path}.")


def counts(folder: Folder, run: str) -> list[Counts]:
    """What the shards of a run counted, by shard; see Store.counts."""
    found = []
    for file in (run_at(folder, run).end or {}).get("counts") or done_shards(folder, run).values():
        shard = read_json(folder, file) or {}
        top = ((shard["top"] and read_json(folder, shard["top"])) or {"top": []})["top"]  # retired with the rejects
        found.append(Counts(shard["rows"], shard["rejects"], shard["seconds"], shard["statistics"], top))
    return found


def rejects(folder: Folder, run: str) -> list[tuple[str, str | None, int, str]]:
    """See Store.rejects."""
    numbers, words = Counter[tuple[str, str | None]](), dict[tuple[str, str | None], str]()
    for part in (run_at(folder, run).end or {}).get("rejected", ()):
        for piece in _pieces(folder, part["file"], ["rule", "column", "expected"]):
            columns = (piece.column(name).to_pylist() for name in ("rule", "column", "expected"))
            for rule, column, expected in zip(*columns, strict=True):
                numbers[rule, column] += 1
                words[rule, column] = min(words.get((rule, column), expected), expected)
    found = [(rule, column, number, words[rule, column]) for (rule, column), number in numbers.items()]
    return sorted(found, key=lambda each: (-each[2], each[0], each[1] is None, each[1]))


def first_predictions(folder: Folder, run: str, most: int) -> list[tuple[str, Any, list[float] | None]]:
    """See Store.predictions."""
    first: pa.Table | None = None
    for part in (run_at(folder, run).end or {}).get("predictions", ()):
        for piece in _pieces(folder, part["file"]):
            table = pa.Table.from_batches([piece])
            table = table if first is None else pa.concat_tables([first, table])
            first = table.take(pc.sort_indices(table, [("key", "ascending")])[:most]).combine_chunks()
    if first is None:
        return []
    columns = [first.column(name).to_pylist() for name in ("key", "prediction")]
    return list(zip(*columns, _probabilities(first), strict=True))


def _probabilities(table: pa.Table) -> list[list[float] | None]:
    if "probabilities" in table.column_names:
        return list(table.column("probabilities").to_pylist())
    names = [name for name in table.column_names if name.startswith(PROBABILITY)]
    if not names:
        return [None] * table.num_rows
    return [list(row) for row in zip(*(table.column(name).to_pylist() for name in names), strict=True)]


def _pieces(folder: Folder, file: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A file's rows; none if it was retired."""
    opened = folder.open(file)
    if opened is not None:
        with opened, said(f"{folder.address}/{file}"):
            yield from pq.ParquetFile(opened).iter_batches(columns=columns)


def _table(folder: Folder, file: str) -> pa.Table | None:
    """A file as a table; None if it was retired."""
    opened = folder.open(file)
    if opened is None:
        return None
    with opened, said(f"{folder.address}/{file}"):
        return pq.read_table(opened)
