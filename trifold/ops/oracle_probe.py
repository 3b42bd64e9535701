"""Ask each mode's own code for original rows, in the model's environment, and compare with the estimator's answers.

trifold/ops/mode_probe.py calls it where training kept rows and answers (trifold/ops/originals.py).
"""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trifold.errors import TrifoldError
from trifold.model import Model
from trifold.ops import oracle
from trifold.ops.expected import ORIGINALS, originals
from trifold.ops.oracle import Comparison, Originals, Outputs
from trifold.packed import ARTIFACT

KEY = "trifold_row"
MOST_POSTS = 20
"""Of one body, each without the rows that were refused before; an answer names a hundred at most."""
Post = Callable[[str, str, bytes], tuple[int, bytes]]
Doors = dict[str, dict[str, Any]]


def read_originals(folder: Path) -> Originals:
    """The original rows that training kept with a packed model."""
    file = folder / ARTIFACT / ORIGINALS
    rows, _ = originals(file)
    table = pq.read_table(file)
    ways: dict[str, list[list[list[Any]]]] = {}
    for name in table.column_names:
        way, slash, _ = name.partition("/")
        if slash:
            values = table[name].to_pylist()
            ways.setdefault(way, []).append([json.loads(row) if isinstance(row, str) else row for row in values])
    return Originals(rows, ways)


def compare_online(post: Post, model: Model, kept: Originals) -> Doors:
    """By JSON and by CSV.

    Raises:
        TrifoldError: The server failed, which is no refusal.
    """
    said = oracle.say_rows(kept.rows)
    places, found = _post_json(post, said)
    doors = {"JSON": _told(kept, model, places, found)}
    places = oracle.find_sayable(kept.rows) if model.contract.signature.named else []
    if places:
        part = kept.take(places)
        fine, found = _post_csv(post, part)
        doors["CSV"] = _told(part, model, fine, found)
    return doors


def compare_batch(model: Model, folder: Path, kept: Originals, job: Mapping[str, Any]) -> Doors:
    """By a file of Parquet and what a job reads of it."""
    from trifold.batch.inputs import input_of
    from trifold.batch.job import Job
    from trifold.batch.scored import score
    from trifold.batch.slots import parse_slot
    from trifold.batch.statistics import Bins, Tally

    table = oracle.say_table(kept.rows)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "originals.parquet"
        pq.write_table(table.append_column(KEY, pa.array(map(str, range(table.num_rows)))), file)
        made = Job.from_json({**job, "source": {"query": "", "files": file.as_uri()}, "sink": {"files": ""}})
        window = made.window(parse_slot("2026-01-01T00:00Z"))
        pieces = input_of(made, model.contract, window, {}).pieces()
        scored = [one.predictions for one in score(pieces, model, made, Tally(Bins.of(model, folder)))]
    rows = [row for batch in scored for row in batch.to_pylist()]
    places = [int(row["key"]) for row in rows]
    return {"table": _told(kept, model, places, list(_list_batch(rows, model)))}


def compare_stream(model: Model, kept: Originals, score: Callable[[Sequence[bytes]], Any]) -> Doors:
    """By events."""
    scored = score([json.dumps(row).encode() for row in oracle.say_rows(kept.rows)])
    places = [message.offset() for message in scored.messages]
    return {"event": _told(kept, model, places, oracle.list_answers(scored.answers))}


def _told(kept: Originals, model: Model, places: Sequence[int], found: Outputs) -> dict[str, Any]:
    block = model.blocks[0] if model.blocks else None
    compared = oracle.compare(kept.take(places), found, block) if places else Comparison(0)
    return {**asdict(compared), "refused": len(oracle.say_rows(kept.rows)) - len(places)}


def _post_json(post: Post, rows: Sequence[Any]) -> tuple[list[int], Outputs]:
    places = list(range(len(rows)))
    for _ in range(MOST_POSTS):
        status, answer = post(
            "/predict", "application/json", json.dumps({"rows": [rows[place] for place in places]}).encode()
        )
        document = json.loads(answer)
        if status == 200:
            return places, _list_json(document)
        if status != 422:
            raise TrifoldError(f"POST /predict answers {status} to original rows: {answer[:200].decode()}")
        bad = {error["row"] for error in document["errors"]}
        places = [place for number, place in enumerate(places) if number not in bad]
        if not places:
            break
    return [], []


def _post_csv(post: Post, kept: Originals) -> tuple[list[int], Outputs]:
    status, answer = post("/predict/csv", "text/csv", oracle.say_csv(kept.rows))
    if status != 200:
        raise TrifoldError(f"POST /predict/csv answers {status} to original rows: {answer[:200].decode()}")
    _, *lines = csv.reader(io.StringIO(answer.decode("utf-8-sig"), newline=""))
    width = len(kept.rows.columns)
    fine = [place for place, line in enumerate(lines) if not line[-1]]
    outputs = kept.outputs[oracle.ONCE]
    found, start = list[list[list[Any]]](), width
    for output in outputs:
        size = len(output[0])
        cells = [lines[place][start : start + size] for place in fine]
        wanted = [output[place] for place in fine]
        found.append([list(map(_read_cell, row, like)) for row, like in zip(cells, wanted, strict=True)])
        start += size
    return fine, found


def _read_cell(cell: str, like: Any) -> Any:
    return cell if isinstance(like, str) else json.loads(cell)


def _list_json(document: Mapping[str, Any]) -> Outputs:
    predictions = [row if isinstance(row, list) else [row] for row in document["predictions"]]
    named = document.get("probabilities")
    if named is None:
        return [predictions]
    rows = [[row] if isinstance(row, dict) else row for row in named]
    return [predictions, *([list(output.values()) for output in outputs] for outputs in zip(*rows, strict=True))]


def _list_batch(rows: Sequence[Mapping[str, Any]], model: Model) -> Iterator[list[list[Any]]]:
    yield [row["prediction"] if isinstance(row["prediction"], list) else [row["prediction"]] for row in rows]
    start = 0
    for names in model.labels:
        yield [row["probabilities"][start : start + len(names)] for row in rows]
        start += len(names)
