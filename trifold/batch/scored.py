"""Score pieces of a table: check, predict, and give predictions and rejects as tables again."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from trifold.accepted import predict_accepted
from trifold.answers import Answers
from trifold.arrow import column, lists
from trifold.batch.checks import require_keys
from trifold.batch.csv_columns import check_piece
from trifold.batch.job import Job
from trifold.batch.statistics import Tally
from trifold.batch.store import KEPT, KEY, Scored
from trifold.errors import Reject
from trifold.failpoints import reach
from trifold.model import Model

REJECTS = pa.schema(
    [
        ("row", pa.int64()),
        ("key", pa.string()),
        ("column", pa.string()),
        ("rule", pa.string()),
        ("expected", pa.string()),
        ("got", pa.string()),
    ]
)


def score(pieces: Iterable[pa.RecordBatch], model: Model, job: Job, tally: Tally) -> Iterator[Scored]:
    """Score each piece, in order.

    Args:
        pieces: Tables of KEY, KEPT if anything is kept, the model's columns, and UNREAD if they come from CSV.
        model: The model.
        job: Whose pieces.
        tally: Counts what is scored.

    Raises:
        InputRefused: A row has no key.
        ColumnsMissing: A piece lacks a column that the signature requires.
    """
    first = 0
    for piece in pieces:
        reach("chunk-read")
        require_keys(piece, job)
        yield _score(piece, first, model, tally)
        reach("chunk-predicted")
        first += piece.num_rows


def _score(piece: pa.RecordBatch, first: int, model: Model, tally: Tally) -> Scored:
    keys = piece.column(KEY)
    kept = piece.column(KEPT) if KEPT in piece.schema.names else None
    rest = [name for name in piece.schema.names if name not in (KEY, KEPT)]
    checked = check_piece(model.contract, piece.select(rest))
    rows, accepted, rejects = checked.rows, checked.accepted, list(checked.rejects)
    answers, fine, refused = predict_accepted(model, rows)
    if refused:
        rejects += [replace(reject, row=int(accepted[reject.row or 0])) for reject in refused]
        rows, accepted = rows.take(fine), accepted[fine]
    scored_keys, scored_kept = keys, kept
    if len(accepted) < piece.num_rows:
        scored_keys, scored_kept = keys.take(pa.array(accepted)), kept and kept.take(pa.array(accepted))
    if len(rows):
        tally.add(rows, answers, scored_keys, scored_kept)
    return Scored(
        piece.num_rows,
        _predictions(answers, scored_keys, scored_kept),
        _rejects(rejects, keys, first),
        piece.num_rows - len(accepted),
    )


def _predictions(answers: Answers, keys: pa.Array, kept: pa.Array | None) -> pa.RecordBatch:
    columns = {"key": keys, "prediction": column(answers.predictions)}
    if answers.probabilities is not None:
        columns["probabilities"] = lists(np.hstack(answers.probabilities).astype("float64", copy=False))
    if kept is not None:
        columns["kept"] = kept
    return pa.RecordBatch.from_pydict(columns)


def _rejects(rejects: Sequence[Reject], keys: pa.Array, first: int) -> pa.RecordBatch:
    rows = [reject.row or 0 for reject in rejects]
    columns = [
        [first + row for row in rows],
        keys.take(pa.array(rows, pa.int64())),
        *([getattr(reject, name) for reject in rejects] for name in REJECTS.names[2:]),
    ]
    return pa.RecordBatch.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, REJECTS, strict=True)], schema=REJECTS
    )
