"""A model behind all doors, in process: HTTP's JSON and CSV, files that batch reads, an event of a stream.

Whatever changes in Trifold's own functions is adapted here: what a door takes and gives stays as it is.
"""

import csv
import io
import json
import math
import pickle
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import skops.io
from mlflow.models import infer_signature
from mlflow.models.utils import _Example

from tests.asgi import Post, app_of
from tests.batch import JOB, SLOT
from tests.stream import STREAM
from trifold.batch.inputs import input_of
from trifold.batch.job import Job
from trifold.batch.scored import score as score_table
from trifold.batch.slots import parse_slot
from trifold.batch.statistics import Bins, Tally
from trifold.contract.contract import Contract
from trifold.contract.dtypes import Dtype
from trifold.contract.profile import Profile
from trifold.errors import TrifoldError
from trifold.model import Model
from trifold.ops import example as examples
from trifold.ops import profiling
from trifold.ops.hints import read_hints
from trifold.ops.settle import settle
from trifold.packed import ARTIFACT
from trifold.stream.kafka import values
from trifold.stream.scored import Progress
from trifold.stream.scored import score as score_events
from trifold.stream.stream import Stream

KEY = "trifold test row"
EXAMPLE_ROWS = 5
MOST_POSTS = 60
UNSAID = "the signature does not say, and answers depend on it:"


@dataclass(frozen=True)
class Answer:
    """What a door says of a row.

    Attributes:
        prediction: A value an output; texts, of CSV.
        scores: Probabilities of all outputs after each other.
        names: Of the classes, as they stand beside the scores; None where the door does not say them.
    """

    prediction: tuple[Any, ...]
    scores: tuple[Any, ...] | None = None
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a door gives a row no answer; of a 500 "failed", and "crashed" where a process would end."""

    rule: str
    column: str | None
    words: str


Row = Answer | Refusal


@dataclass(frozen=True, eq=False)
class Sent:
    """The same rows in each door's form; None where they cannot be said in one.

    Attributes:
        rows: JSON values.
        table: Of CSV: the line of names, and the cells.
        arrow: Arrow's table.
    """

    rows: Sequence[Any]
    table: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None
    arrow: pa.Table | None = None


@dataclass(frozen=True, eq=False)
class Logged:
    """What log_model would put into the artifact.

    Attributes:
        document: MLflow's signature.
        profile: The profile; None of a model that MLflow alone has logged.
        warned: Names of columns of which check says that the signature does not tell enough.
        dtypes: What was found out of the columns without a profile.
    """

    document: Mapping[str, Any]
    profile: Profile | None
    warned: frozenset[str] = frozenset()
    dtypes: Mapping[str, Dtype] = field(default_factory=dict)


def log(model: Any, X: Any, *, plain: bool) -> Logged:
    """What is logged of a fitted model: by trifold.log_model, or by MLflow alone with the first rows as its example.

    Raises:
        TrifoldError: It cannot be logged so.
    """
    if plain:
        return _settle(model, X[:EXAMPLE_ROWS])
    document = infer_signature(X, model.predict(X[:EXAMPLE_ROWS])).to_dict()
    profile = Profile(features=profiling.features(X, {}))
    contract = Contract.read(document, profile)
    profiling.require_fit(profile, model, contract)
    return Logged(document, profile, dtypes=settle(_copied(model), contract, [], {})[0].dtypes)


def _settle(model: Any, example: Any) -> Logged:
    """As MLflow logs a model, and as check finds out what its signature does not say.

    Raises:
        TrifoldError: Answers depend on what nobody could find out.
    """
    document = infer_signature(example, model.predict(example)).to_dict()
    contract = Contract.read(document)
    with new_folder() as folder:
        saved = _Example(example.to_frame() if isinstance(example, pd.Series) else example)
        saved.save(folder)
        found = examples.read(Path(folder), saved.info)
    assert found is not None
    rows = contract.to_rows(examples.fit(found, contract).rows)
    settled, doubts = settle(_copied(model), contract, rows, read_hints(found.data, contract.times))
    fatal = [doubt for doubt in doubts if doubt.what in ("unit", "zone") and doubt.matters]
    if fatal:
        raise TrifoldError(f"{UNSAID} {fatal[0].column}: {fatal[0].what}")
    try:
        Model(_copied(model), settled).predict(settled.check_rows(rows).rows)
    except Exception as error:  # a model may raise anything; `trifold check` refuses it likewise
        raise TrifoldError(f"{UNSAID} the example is not predicted: {error}") from error
    return Logged(document, None, frozenset(doubt.column for doubt in doubts), settled.dtypes)


def load(model: Any, logged: Logged, blocks: Sequence[int]) -> Model:
    """The model as a server has it: packed, read again, in blocks of a size.

    Raises:
        TrifoldError: It cannot be served.
    """
    contract = Contract.read(logged.document, logged.profile, logged.dtypes)
    read = Contract.from_json(json.loads(json.dumps(contract.to_json(), default=str)))
    return Model(_copied(model), read, blocks=blocks)


def open_doors(model: Model, folder: Path) -> dict[str, Callable[[Sent], list[Row]]]:
    """The doors that a model has, by name."""
    signature = model.contract.signature
    doors: dict[str, Callable[[Sent], list[Row]]] = {"JSON": lambda sent: _in_app(model, ask_json, sent)}
    if signature.tensor is None:
        doors["CSV"] = lambda sent: _in_app(model, ask_csv, sent)
    if signature.named:
        doors["event"] = lambda sent: ask_events(model, sent.rows)
        doors["batch of Parquet"] = lambda sent: ask_batch(model, sent, folder, ".parquet")
        doors["batch of CSV"] = lambda sent: ask_batch(model, sent, folder, ".csv")
    return doors


def ask_json(post: Post, sent: Sent) -> list[Row]:
    """POST /predict; what is refused is left out, and the others are posted again."""
    found: list[Row | None] = [None] * len(sent.rows)
    for _ in range(MOST_POSTS):
        left = [place for place, row in enumerate(found) if row is None]
        if not left:
            break
        status, answer = post("/predict", "application/json", orjson.dumps({"rows": [sent.rows[row] for row in left]}))
        document = json.loads(answer)
        if status == 200:
            for place, row in zip(left, _rows_of(document), strict=True):
                found[place] = row
        for error in document.get("errors", ()):
            refusal = Refusal(error["rule"], error["column"], f"{error['expected']}; got {error['got']}")
            for place in left if error["row"] is None else [left[error["row"]]]:
                found[place] = found[place] or refusal
    return [row or Refusal("crashed", None, "no answer after many posts") for row in found]


def ask_csv(post: Post, sent: Sent) -> list[Row]:
    """POST /predict/csv; each row has a cell before it, or one of nothing would be no row."""
    assert sent.table is not None
    names, cells = sent.table
    status, answer = post("/predict/csv", "text/csv", csv_text(names, cells))
    if status != 200:
        error = json.loads(answer)["errors"][0]
        return [Refusal(error["rule"], error["column"], f"{error['expected']}; got {error['got']}")] * len(cells)
    header, *lines = csv.reader(io.StringIO(answer.decode("utf-8-sig"), newline=""))
    added = header[len(names) + 1 :]
    if len(lines) != len(cells):
        return [Refusal("crashed", None, f"{len(lines)} rows came back")] * len(cells)
    return [_csv_row(added, line[len(names) + 1 :]) for line in lines]


def ask_events(model: Model, rows: Sequence[Any]) -> list[Row]:
    """A stream's events, and what its Kafka sink writes."""
    stream = Stream.from_json({**STREAM, "topic": "events"}, "right", "models")
    messages = [_Message(place, orjson.dumps(row)) for place, row in enumerate(rows)]
    try:
        scored = score_events(messages, {("events", 0): Progress(0, len(messages))}, stream, model)
        said = [json.loads(text) for text in values(scored.answers, model.labels, scored.documents, ())]
    except Exception as error:  # noqa: BLE001 - a consumer would end with it
        return [_crash(error)] * len(rows)
    found: list[Row] = [Refusal("crashed", None, "neither an answer nor a dead letter")] * len(rows)
    for message, one in zip(scored.messages, said, strict=True):
        found[message.offset()] = _row_of(one["prediction"], one.get("probabilities"))
    for letter in scored.dead:
        first = letter.rejects[0]
        found[letter.position.offset] = Refusal(first.rule, first.column, f"{first.expected}; got {first.got}")
    return found


def ask_batch(model: Model, sent: Sent, folder: Path, suffix: str) -> list[Row]:
    """A batch job's file, from the file to the tables of predictions and rejects."""
    file = folder / f"rows{suffix}"
    if suffix == ".csv":
        assert sent.table is not None
        file.write_bytes(csv_text(*sent.table))
        count = len(sent.table[1])
    else:
        assert sent.arrow is not None
        count = sent.arrow.num_rows
        pq.write_table(sent.arrow.append_column(KEY, pa.array(map(str, range(count)))), file)
    job = Job.from_json({**JOB, "key": KEY, "source": {"query": "", "files": file.as_uri()}, "sink": {"files": ""}})
    found: list[Row] = [Refusal("crashed", None, "neither a prediction nor a reject")] * count
    try:
        tally = Tally(Bins.of(model, folder), top=3)
        given = input_of(job, model.contract, job.window(parse_slot(SLOT)), {}).pieces()
        for scored in score_table(given, model, job, tally):
            for row in scored.rejects.to_pylist():
                found[int(row["key"])] = Refusal(row["rule"], row["column"], f"{row['expected']}; got {row['got']}")
            for row in scored.predictions.to_pylist():
                found[int(row["key"])] = _row_of(row["prediction"], row.get("probabilities"))
        json.dumps(tally.to_json(), allow_nan=False, default=str)
    except Exception as error:  # noqa: BLE001 - a job would end with it
        return [_crash(error)] * count
    return found


def write_reference(logged: Logged, X: Any, folder: Path) -> None:
    """Put the files of log_model where batch finds them in a packed model."""
    if logged.profile is not None:
        extra = folder / ARTIFACT / "extra_files"
        extra.mkdir(parents=True)
        profiling.write(extra, logged.profile, X, {})


def csv_text(names: Sequence[str], cells: Sequence[Sequence[str]]) -> bytes:
    """A table in CSV, with a number before each row."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([KEY, *names])
    writer.writerows([place, *row] for place, row in enumerate(cells))
    return file.getvalue().encode()


def _copied(model: Any) -> Any:
    """The estimator as it comes out of the artifact: by skops, or by pickle where skops cannot."""
    try:
        data = skops.io.dumps(model)
        return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    except Exception:  # noqa: BLE001 - of pd.NA, for one; check would say so
        return pickle.loads(pickle.dumps(model))  # noqa: S301 - our own


def _in_app(model: Model, ask: Callable[[Post, Sent], list[Row]], sent: Sent) -> list[Row]:
    with app_of(model) as post:
        return ask(post, sent)


@dataclass(frozen=True)
class _Message:
    """A message of confluent-kafka."""

    place: int
    data: bytes
    more: tuple[Any, ...] = field(default=())

    def value(self) -> bytes:
        return self.data

    def key(self) -> bytes:
        return str(self.place).encode()

    def headers(self) -> tuple[Any, ...]:
        return self.more

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def topic(self) -> str:
        return "events"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.place


def _rows_of(document: Mapping[str, Any]) -> list[Row]:
    predictions = document["predictions"]
    scores = document.get("probabilities") or [None] * len(predictions)
    return [_row_of(prediction, named) for prediction, named in zip(predictions, scores, strict=True)]


def _row_of(prediction: Any, scores: Any) -> Answer:
    """A row's answer from JSON or a table: scores by name, a list of these, or one list of all."""
    values = tuple(prediction) if isinstance(prediction, list) else (prediction,)
    if scores is None:
        return Answer(values)
    if isinstance(scores, list) and not any(isinstance(each, dict) for each in scores):
        return Answer(values, tuple(map(_number, scores)))
    named = scores if isinstance(scores, list) else [scores]
    pairs = [pair for each in named for pair in each.items()]
    return Answer(values, tuple(_number(score) for _, score in pairs), tuple(name for name, _ in pairs))


def _csv_row(names: Sequence[str], cells: Sequence[str]) -> Row:
    if len(names) != len(cells):
        return Refusal("crashed", None, f"{len(cells)} cells under {len(names)} names")
    by_name = list(zip(names, cells, strict=True))
    refused = cells[-1]
    if refused:
        return Refusal("csv", None, refused)
    scores = tuple(_number(cell) for name, cell in by_name if name.startswith("probability"))
    return Answer(tuple(cell for name, cell in by_name if name.startswith("prediction")), scores or None)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _crash(error: Exception) -> Refusal:
    return Refusal("crashed", None, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")


def new_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder for what a door writes."""
    return tempfile.TemporaryDirectory(prefix="trifold-right-")
