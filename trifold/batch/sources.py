"""Rows from files: Parquet and CSV at a path with a pattern, on a disk or in S3, in pieces, however large they are."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

import pyarrow as pa
from pyarrow import fs

from trifold.batch.checks import require_columns
from trifold.batch.csv_files import CsvFiles
from trifold.batch.job import CSV, Job
from trifold.batch.parquet_files import ParquetFiles
from trifold.batch.storage import locate, said
from trifold.contract.contract import Contract
from trifold.errors import InputRefused, JobError, Unavailable

PARQUET = ".parquet"
SUFFIXES = (PARQUET, *CSV)
WILD = re.compile(r"(\*\*/|\*|\?)")
MEANING = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
HIDDEN = re.compile(r"(?:^|/)[._]")
"""Names that begin so are no data by the custom of those who write such folders."""
PLACE = re.compile(r"\{(\w*)\}")


class Files:
    """A job's files for one slot.

    Attributes:
        address: With the slot's days filled in.
        columns: Names of the key, what is kept, and the model's columns, each once.
    """

    def __init__(
        self, job: Job, contract: Contract, window: tuple[datetime, datetime], environment: Mapping[str, str]
    ) -> None:
        self.address = filled(job, window)
        self.columns = tuple(dict.fromkeys((job.key, *job.keep, *contract.signature.names)))
        self._job, self._contract = job, contract
        if not self.address.endswith(SUFFIXES):
            raise JobError(f"The files of {job.name} end in none of {', '.join(SUFFIXES)}; let the pattern end so.")
        names = (job.key, *job.keep)
        self._format: CsvFiles | ParquetFiles = (
            ParquetFiles(contract, names, job.key)
            if self.address.endswith(PARQUET)
            else CsvFiles(contract, names, job.encoding)
        )
        self._system, self._pattern = locate(self.address, environment)

    def schema(self) -> pa.Schema:
        """Names and types of what `pieces` gives, as the first file has them.

        Raises:
            ColumnsMissing: It lacks one of the model's.
            InputRefused: It lacks the key, or one that is to be kept, or cannot be read.
            JobError: Nobody may read it, or there is no such bucket.
            Unavailable: There is no such file yet, or its storage is away.
        """
        return self._first(self._paths()[0])

    def pieces(self) -> Iterator[pa.RecordBatch]:
        """The rows of all files, in the order of their names.

        The key is text, unless the model has it as a number. Of CSV, the model's numbers and booleans are such; a cell
        that is none is missing, and UNREAD has it.

        Raises:
            InputRefused: A file cannot be read, or has other columns than the first.
            JobError: Nobody may read it.
            Unavailable: There is no such file yet, or its storage is away.
        """
        paths = self._paths()
        schema = self._first(paths[0])
        for path in paths:
            if path != paths[0]:
                self._require_same(path, paths[0], schema)
            yield from self._format.pieces(self._system, path, schema)

    def _first(self, path: str) -> pa.Schema:
        schema = self._format.schema(self._system, path)
        require_columns(schema, self._job, self._contract)
        return schema

    def _require_same(self, path: str, first: str, wanted: pa.Schema) -> None:
        found = self._format.schema(self._system, path)
        for name in self.columns:
            here, there = (schema.field(name).type if name in schema.names else "nothing" for schema in (found, wanted))
            if here != there:
                raise InputRefused(f"Column {name} is {here} in {path} and {there} in {first}; write all files alike.")

    def _paths(self) -> list[str]:
        with said(self.address):
            found = sorted(_matching(self._system, self._pattern))
        if not found:
            raise Unavailable(f"No file is at {self.address}; it may still come.")
        return found


def filled(job: Job, window: tuple[datetime, datetime]) -> str:
    """The address of a job's files, with the days of a slot's window in the job's zone.

    Raises:
        JobError: It names another thing than slot_start and slot_end.
    """
    days = {
        name: instant.astimezone(job.schedule.zone).date().isoformat()
        for name, instant in zip(("slot_start", "slot_end"), window, strict=True)
    }
    unknown = sorted(set(PLACE.findall(job.files)) - set(days))
    if unknown:
        raise JobError(f"The files of {job.name} name {{{unknown[0]}}}; there are {{slot_start}} and {{slot_end}}.")
    return PLACE.sub(lambda found: days[found[1]], job.files)


def _matching(system: fs.FileSystem, pattern: str) -> Iterator[str]:
    """The files that a pattern means: * and ? within a name, **/ for any folders."""
    wild = WILD.search(pattern)
    if wild is None:
        info = system.get_file_info(pattern)
        if info.type == fs.FileType.Directory:
            raise JobError(f"{pattern} is a folder; say which of its files, as in {pattern}/*.parquet.")
        if info.type == fs.FileType.File:
            yield pattern
        return
    base = pattern[: wild.start()].rpartition("/")[0]
    wanted = re.compile("".join(MEANING.get(part, re.escape(part)) for part in WILD.split(pattern)))
    selector = fs.FileSelector(base or "/", recursive="/" in pattern[len(base) + 1 :])
    try:
        infos = system.get_file_info(selector)
    except FileNotFoundError:
        return
    for info in infos:
        name = info.path[len(base) + 1 :]
        if info.type == fs.FileType.File and wanted.fullmatch(info.path) and not HIDDEN.search(name):
            yield info.path
