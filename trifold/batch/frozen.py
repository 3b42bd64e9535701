"""A slot's frozen input: one Parquet file whose row groups belong to a shard each, so that a shard reads its own."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from trifold.batch.checks import twice
from trifold.batch.folders import Folder
from trifold.batch.job import Job
from trifold.batch.keys import Repeats, shards_of
from trifold.batch.parquet_files import MOST_ROWS, PIECE_BYTES
from trifold.batch.storage import said
from trifold.batch.store import KEY
from trifold.errors import InputRefused, Unavailable

GATHERED = 2
"""Pieces that are gathered before they are cut by shard, so that row groups are not too small."""


@dataclass(frozen=True)
class Frozen:
    """What is known of a frozen input.

    Attributes:
        file: Its name.
        rows: Its rows.
        groups: By shard, the numbers of its row groups.
        shard_rows: By shard, its rows.
    """

    file: str
    rows: int
    groups: Sequence[Sequence[int]]
    shard_rows: Sequence[int]

    def to_json(self) -> dict[str, Any]:
        """It as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Frozen":
        """Read what `to_json` gave."""
        return cls(**{name: document[name] for name in cls.__dataclass_fields__})


def freeze(folder: Folder, file: str, pieces: Iterator[pa.RecordBatch], shards: int) -> Frozen:
    """Write an input.

    Args:
        folder: Where.
        file: The file's name, which nobody else uses.
        pieces: What to write (inputs.py), one or more.
        shards: Among how many to cut it.
    """
    first = next(pieces)
    groups: list[list[int]] = [[] for _ in range(shards)]
    rows, number = [0] * shards, 0
    making = folder.create(file)
    try:
        with said(f"{folder.address}/{file}"), _writer(making.sink, first.schema) as writer:
            for gathered in _gathered(itertools.chain([first], pieces), PIECE_BYTES * min(shards, GATHERED)):
                for shard, part in _cut(gathered, shards):
                    writer.write_table(part, row_group_size=part.num_rows)
                    groups[shard].append(number)
                    rows[shard] += part.num_rows
                    number += 1
        making.done()
    except BaseException:
        making.drop()
        raise
    pa.default_memory_pool().release_unused()
    return Frozen(file, sum(rows), groups, rows)


def read(folder: Folder, frozen: Frozen, shard: int, job: Job) -> Iterator[pa.RecordBatch]:
    """A shard's rows, always in the same pieces.

    Raises:
        InputRefused: A key stands twice, which is known at the end.
    """

    def keys() -> Iterator[pa.Array]:
        return (piece.column(KEY) for piece in _groups(folder, frozen, shard, [KEY]))

    repeats = Repeats(frozen.shard_rows[shard], keys)
    for piece in _groups(folder, frozen, shard):
        repeats.add(piece.column(KEY))
        yield piece
    if repeats.any():
        raise InputRefused(twice(job))


def _writer(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    # Dictionaries save space only where values repeat, and cost time where they do not.
    repeated = [field.name for field in schema if field.name != KEY and types.is_string(field.type)]
    return pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=repeated, write_statistics=False)


def _gathered(pieces: Iterable[pa.RecordBatch], least: int) -> Iterator[pa.Table]:
    """The pieces as tables of at least so many bytes; the last may be less."""
    held = list[pa.RecordBatch]()
    for piece in pieces:
        if piece.num_rows:
            held.append(piece)
        if sum(each.nbytes for each in held) >= least:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _cut(table: pa.Table, shards: int) -> Iterator[tuple[int, pa.Table]]:
    """Each shard's rows, in their order."""
    if shards == 1:
        yield 0, table
        return
    numbers = shards_of(pa.concat_arrays(table.column(KEY).chunks), shards)
    order = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[order], np.arange(shards + 1))
    for shard in range(shards):
        places = order[ends[shard] : ends[shard + 1]]
        if len(places):
            yield shard, table.take(pa.array(places))


def _groups(
    folder: Folder, frozen: Frozen, shard: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    opened = folder.open(frozen.file)
    if opened is None:
        raise Unavailable(f"The frozen input {frozen.file} was retired by another process; start this one again.")
    with opened, said(f"{folder.address}/{frozen.file}"):
        found = pq.ParquetFile(opened, pre_buffer=True)
        for number in frozen.groups[shard]:
            yield from found.read_row_group(number, columns).to_batches(MOST_ROWS)
