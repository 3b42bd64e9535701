"""A job: what is read, when, and where its predictions go, as the chart tells it in TRIFOLD_JOB."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trifold.batch.schedule import Schedule
from trifold.contract.csv import ENCODINGS
from trifold.errors import JobError

MOST_SHARDS = 1000
CSV = (".csv", ".csv.gz")
"""How the names of CSV files end."""
BOUND = re.compile(r"(?<![:\w]):(slot_start|slot_end)\b")
"""A parameter of a query; a cast, ::date, is none."""
KEYS = {
    "name": str,
    "schedule": str,
    "timeZone": str,
    "key": str,
    "keep": list,
    "shards": int,
    "maxRejectRate": float,
    "catchUp": int,
    "source": dict,
    "sink": dict,
    "report": dict,
    "retentionDays": dict,
}


@dataclass(frozen=True)
class Retention:
    """For how many days rejects, frozen inputs and the predictions of old slots are kept."""

    rejects: int
    inputs: int
    predictions: int


@dataclass(frozen=True)
class Job:
    """One named batch schedule of a release.

    Attributes:
        name: Its name in the values.
        schedule: When it fires.
        key: Column that identifies a row; empty: the profile's.
        keep: Columns of the input that go along with the predictions.
        shards: Processes that share a slot.
        max_reject_rate: Above this share of rejects a run publishes nothing.
        catch_up: How many earlier slots a run looks back for such as were missed.
        query: What is read, as SQL with :slot_start and :slot_end; or empty.
        files: What is read, as a path with a pattern, of Parquet or CSV; or empty.
        encoding: Of CSV files that have no byte-order mark and are not UTF-8, a name of ENCODINGS; or empty.
        sink: Folder for predictions as Parquet; empty: the release's schema in PostgreSQL.
        top: Rows in the report's table of greatest scores.
        history: Query or file of (time, value) that the report draws before a forecast; empty: none.
        retention: What is kept for how long.
    """

    name: str
    schedule: Schedule
    key: str
    keep: tuple[str, ...]
    shards: int
    max_reject_rate: float
    catch_up: int
    query: str
    files: str
    encoding: str
    sink: str
    top: int
    history: str
    retention: Retention

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Job":
        """Read a job; all keys have to be there, as the chart writes them.

        Raises:
            JobError: A key lacks, is unknown or has another type, or the values make no sense together.
        """
        name = document.get("name", "?")
        _require_keys(name, document, KEYS)
        source = {"encoding": "", **document["source"]}  # which charts of before do not set
        report, retention = document["report"], document["retentionDays"]
        _require_keys(name, source, {"query": str, "files": str, "encoding": str})
        _require_keys(name, document["sink"], {"files": str})
        _require_keys(name, report, {"top": int, "history": str})
        _require_keys(name, retention, {"rejects": int, "inputs": int, "predictions": int})
        if bool(source["query"]) == bool(source["files"]):
            raise JobError(f"Job {name} needs one source: set either source.query or source.files.")
        _require_encoding(name, source["encoding"], source["files"])
        if not 1 <= document["shards"] <= MOST_SHARDS:
            raise JobError(f"Job {name} has {document['shards']} shards; set from 1 to {MOST_SHARDS}.")
        return cls(
            name=name,
            schedule=Schedule.parse(document["schedule"], document["timeZone"]),
            key=document["key"],
            keep=tuple(document["keep"]),
            shards=document["shards"],
            max_reject_rate=float(document["maxRejectRate"]),
            catch_up=document["catchUp"],
            query=source["query"].strip().rstrip(";"),
            files=source["files"],
            encoding=source["encoding"],
            sink=document["sink"]["files"].rstrip("/"),
            top=report["top"],
            history=report["history"].strip().rstrip(";"),
            retention=Retention(**retention),
        )

    @classmethod
    def from_text(cls, text: str) -> "Job":
        """Read a job from JSON text.

        Raises:
            JobError: It is no job.
        """
        try:
            return cls.from_json(dict(json.loads(text)))
        except (TypeError, ValueError) as error:
            raise JobError(f"TRIFOLD_JOB holds no job ({error}); the chart sets it.") from None

    def window(self, slot: datetime) -> tuple[datetime, datetime]:
        """What a slot is about: from the firing before it to itself."""
        return self.schedule.previous(slot), slot


def bound(query: str, window: tuple[datetime, datetime]) -> str:
    """A query with its parameters filled in: times of ours, so that nothing of a stranger's gets into it."""
    instants = dict(zip(("slot_start", "slot_end"), window, strict=True))
    return BOUND.sub(lambda found: f"TIMESTAMPTZ '{instants[found[1]].isoformat()}'", query)


def _require_encoding(name: str, encoding: str, files: str) -> None:
    if encoding and encoding not in ENCODINGS:
        raise JobError(f"Job {name}: source.encoding is {encoding!r}; expected one of {', '.join(ENCODINGS)}.")
    if encoding and not files.endswith(CSV):
        raise JobError(f"Job {name}: source.encoding is of CSV files, and source.files names none; leave it out.")


def _require_keys(name: str, document: Mapping[str, Any], keys: Mapping[str, type]) -> None:
    if document.keys() != keys.keys():
        wrong = sorted(document.keys() ^ keys.keys())
        raise JobError(f"Job {name}: {', '.join(wrong)} lacks or is unknown; take the chart that belongs to the image.")
    for key, kind in keys.items():
        value = document[key]
        fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        if not fits:
            raise JobError(f"Job {name}: {key} is {value!r}; expected {kind.__name__}.")
