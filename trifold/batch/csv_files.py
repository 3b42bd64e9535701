"""CSV files as pieces of a table, by the grammar of contract/csv.py; what is plain in it is read by Arrow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow
from pyarrow import fs

from trifold.batch.csv_columns import UNREAD, kind_of, read_columns
from trifold.batch.storage import readable
from trifold.contract.cells import count_surplus, find_columns, find_names
from trifold.contract.contract import Contract
from trifold.contract.csv import LONGEST_CELL, CsvText
from trifold.errors import InputRefused, TableRefused
from trifold.rows import Array

ADVICE = "; write it so, or set the job's source.encoding, such as windows-1252"
QUOTE, NEWLINE, RETURN = b'"'[0], b"\n"[0], b"\r"[0]
MARK = "\ufeff".encode()
"""Which Arrow leaves out wherever a chunk begins with it."""


class CsvFiles:
    """A job's CSV files.

    Args:
        contract: What the model takes.
        names: Columns that are read besides the model's.
        encoding: Of files without a byte-order mark, as the job has it.
    """

    def __init__(self, contract: Contract, names: Sequence[str], encoding: str) -> None:
        self._contract, self._encoding = contract, encoding
        self._names = dict.fromkeys(names)
        self._columns = {column.name: column for column in contract.signature.columns}

    def schema(self, system: fs.FileSystem, path: str) -> pa.Schema:
        """The columns of a file that are read, as `pieces` gives them.

        Raises:
            InputRefused: It cannot be read, or lacks a column of the model's.
        """
        with _open(system, path) as stream:
            found = self._places(CsvText(stream, self._encoding, ADVICE))
        fields = [pa.field(name, kind_of(self._columns.get(name))) for name in found]
        return pa.schema([*fields, (UNREAD, pa.string())])

    def pieces(self, system: fs.FileSystem, path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """A file's rows, with the columns of a schema; what no column of its type can hold, UNREAD has.

        Raises:
            InputRefused: It cannot be read.
        """
        with _open(system, path) as stream:
            text = CsvText(stream, self._encoding, ADVICE)
            found = self._places(text)
            places = {name: found[name] for name in schema.names if name != UNREAD}
            for chunk in text.chunks():
                texts, long = read_plainly(text, chunk, places) or read_carefully(text, chunk, places)
                if texts.num_rows:
                    yield read_columns(texts, self._columns, long, len(text.header), comma=text.comma)

    def _places(self, text: CsvText) -> dict[str, int]:
        return {**find_names(text.header, self._names), **find_columns(self._contract, text.header)}


@contextmanager
def _open(system: fs.FileSystem, path: str) -> Iterator[pa.NativeFile]:
    with readable(path), system.open_input_stream(path, compression="detect") as stream:
        try:
            yield stream
        except TableRefused as error:
            raise InputRefused(f"{path}: {error}") from None


def read_plainly(text: CsvText, chunk: str, places: Mapping[str, int]) -> tuple[pa.RecordBatch, dict[int, int]] | None:
    """The cells of a chunk by Arrow; None where it is not sure to read them as Python's csv does."""
    data = chunk.encode()
    if not is_plain(np.frombuffer(data, "uint8"), text.delimiter):
        return None
    numbers = [str(place) for place in range(len(text.header))]
    try:
        table = arrow.read_csv(
            pa.py_buffer(data),
            arrow.ReadOptions(column_names=numbers, block_size=len(data) + 1),
            arrow.ParseOptions(delimiter=text.delimiter, newlines_in_values=True),
            arrow.ConvertOptions(
                column_types=dict.fromkeys(numbers, pa.string()),
                include_columns=[numbers[place] for place in sorted(set(places.values()))],
                strings_can_be_null=True,
                null_values=[""],
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid:  # a row of another length
        return None
    if not table.num_rows:
        return None
    [piece] = table.combine_chunks().to_batches()
    columns = [piece.column(numbers[place]) for place in places.values()]
    return pa.RecordBatch.from_arrays(columns, names=list(places)), {}


def read_carefully(text: CsvText, chunk: str, places: Mapping[str, int]) -> tuple[pa.RecordBatch, dict[int, int]]:
    """The cells of a chunk, and how many a row has that has more than the first line."""
    records, width = list(text.records(chunk)), len(text.header)
    surplus = {number: count_surplus(record, width) for number, record in enumerate(records) if len(record) > width}
    columns = [
        pa.array([record[place] or None if place < len(record) else None for record in records], pa.string())
        for place in places.values()
    ]
    long = {number: count for number, count in surplus.items() if count is not None}
    return pa.RecordBatch.from_arrays(columns, names=list(places)), long


def is_plain(data: Array, delimiter: str) -> bool:
    """Whether Arrow reads a chunk's bytes as Python's csv does.

    Lines end in all but a lone carriage return, no cell is too long, and quotation marks stand around whole cells, or
    in the middle of cells only.
    """
    ends, quotes = np.flatnonzero(data == NEWLINE), np.flatnonzero(data == QUOTE)
    if data[: len(MARK)].tobytes() == MARK or not _follows(data, np.flatnonzero(data == RETURN), NEWLINE):
        return False
    if len(quotes) and _begin_cells(data, quotes, delimiter).any():
        if len(quotes) % 2 or not _enclose_cells(data, quotes, delimiter):
            return False
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return bool(np.diff(ends, prepend=-1, append=len(data)).max() <= LONGEST_CELL)


def _follows(data: Array, places: Array, byte: int) -> bool:
    return not len(places) or bool(places[-1] + 1 < len(data) and (data[places + 1] == byte).all())


def _begin_cells(data: Array, places: Array, delimiter: str) -> Array:
    before = data[places - 1]  # of the first byte the last one, which is no matter
    begins: Array = (places == 0) | (before == ord(delimiter)) | (before == NEWLINE)
    return begins


def _enclose_cells(data: Array, quotes: Array, delimiter: str) -> bool:
    """Whether each first quotation mark of two begins a cell, and each second ends one; or they are doubled."""
    first, second = quotes[::2], quotes[1::2]
    begins = _begin_cells(data, first, delimiter) | (data[first - 1] == QUOTE)
    after = np.append(data, NEWLINE)[second + 1]
    ends = (after == ord(delimiter)) | (after == NEWLINE) | (after == RETURN) | (after == QUOTE)
    return bool(begins.all() and ends.all())
