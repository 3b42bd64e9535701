"""CSV through both doors, in this process: what POST /predict/csv checks, and what a batch job checks."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import Array
from pyarrow import fs

from tests.batch import JOB
from trifold.batch import csv_files, frozen
from trifold.batch.csv_columns import check_piece
from trifold.batch.csv_files import CsvFiles
from trifold.batch.folders import open_folder
from trifold.batch.job import Job
from trifold.batch.store import KEY
from trifold.contract.contract import Contract
from trifold.contract.profile import Feature, Profile
from trifold.errors import InputRefused, Reject, TableRefused
from trifold.online import lists
from trifold.rows import Rows

MOST_ROWS = 100_000
KINDS = {
    "flag": ("boolean", False),
    "must": ("boolean", True),
    "small": ("integer", False),
    "whole": ("long", True),
    "count": ("long", False),
    "share": ("float", False),
    "number": ("double", True),
    "gap": ("double", False),
    "text": ("string", False),
    "word": ("string", True),
    "bytes": ("binary", False),
    "time": ("datetime", False),
}
NAMES = list(KINDS)


def contract_of(columns, titles=()):
    """The contract of a model with columns of (type, required) by name."""
    specs = [ColSpec(kind, name, required=required) for name, (kind, required) in columns.items()]
    profile = Profile(features={name: Feature(title=title) for name, title in dict(titles).items()}) if titles else None
    return Contract.read(ModelSignature(Schema(specs)).to_dict(), profile)


CONTRACT = contract_of(KINDS, {name: f"The {name}" for name in KINDS})
LISTS = contract_of({"numbers": (Array("double"), True), "text": ("string", False), "count": ("long", False)})


@dataclass
class Door:
    """What came of a file: the rows that are accepted with their places and the rejects, or why it is refused."""

    rows: Rows | None = None
    accepted: tuple[int, ...] = ()
    rejects: tuple[Reject, ...] = ()
    refused: str | None = None

    @classmethod
    def online(cls, contract, data, encoding=""):
        """As POST /predict/csv checks it."""
        try:
            _, checked = lists.checked(contract, data, MOST_ROWS, encoding)
        except TableRefused as error:
            return cls(refused=str(error).replace(lists.ADVICE, ""))
        return cls(checked.rows, tuple(checked.accepted.tolist()), checked.rejects)

    @classmethod
    def batch(cls, contract, data, encoding=""):
        """As a batch job checks it, frozen and read again."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "in.csv"
            path.write_bytes(data)
            try:
                pieces = list(_frozen(contract, str(path), encoding, folder))
            except InputRefused as error:
                return cls(refused=str(error).removeprefix(f"{path}: ").replace(csv_files.ADVICE, ""))
        checked, first = [], 0
        for piece in pieces:
            checked.append((first, check_piece(contract, piece.drop_columns(KEY))))
            first += piece.num_rows
        if not first:
            return cls(refused=str(TableRefused(lists.TABLE, "no row below the first line")))
        rejects = [(reject, at) for at, each in checked for reject in each.rejects]
        return cls(
            _together([each.rows for _, each in checked if len(each.rows)]),
            tuple(at + place for at, each in checked for place in each.accepted.tolist()),
            tuple(Reject(at + each.row, each.column, each.rule, each.expected, each.got) for each, at in rejects),
        )


def same(one, other):
    """Make sure that two doors gave the same."""
    assert one.refused == other.refused
    assert one.rejects == other.rejects
    assert one.accepted == other.accepted
    if one.accepted:
        assert list(map(bits, columns_of(one.rows))) == list(map(bits, columns_of(other.rows)))


def columns_of(rows):
    """Rows as columns."""
    return list(rows.matrix.T) if rows.columns is None else list(rows.columns.values())


def bits(column):
    """An array as text that shows every bit and type."""
    values = [value.tolist() if isinstance(value, np.ndarray) else value for value in column.tolist()]
    return column.dtype, [value.hex() if isinstance(value, float) else repr(value) for value in values]


def _frozen(contract, path, encoding, folder):
    """The pieces of a file as a shard reads them."""
    files, system = CsvFiles(contract, (), encoding), fs.LocalFileSystem()
    schema = files.schema(system, path)

    def pieces():
        first = 0
        yield pa.RecordBatch.from_pylist([], schema.insert(0, pa.field(KEY, pa.string())))
        for piece in files.pieces(system, path, schema):
            keys = pa.array([str(first + number) for number in range(piece.num_rows)])
            first += piece.num_rows
            yield pa.RecordBatch.from_arrays([keys, *piece.columns], names=[KEY, *piece.schema.names])

    place = open_folder(f"file://{folder}", {})
    known = frozen.freeze(place, "input.parquet", pieces(), 1)
    return frozen.read(place, known, 0, Job.from_json(JOB))


def _together(rows):
    if len(rows) < 2:
        return rows[0] if rows else None
    if rows[0].columns is None:
        return Rows(matrix=np.concatenate([each.matrix for each in rows]))
    return Rows(columns={name: np.concatenate([each.columns[name] for each in rows]) for name in rows[0].columns})
