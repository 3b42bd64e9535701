"""Why a model has an input example and no signature: what MLflow does not take, and what mends it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trifold.ops.example import ARRAY, FRAME, OBJECT, Example

ZONE = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+([+-]\d\d:?\d\d|Z)")
ZONED = "datetime64 with a zone"
MOST = 3
"""Columns that are named; there may be hundreds."""
TOLD_NOT_TO = (
    "MLflow made no signature of it: it was told signature=False, or is of a version that asks for infer_signature"
)
OR_REFUSED = ", or the model's predict() refused it, which was not tried"


def explain(example: Example, *, can_predict: bool, refusal: str | None) -> tuple[str, tuple[str, ...]]:
    """Say why there is no signature, and the lines that help beside logging the model again.

    Args:
        example: The input example.
        can_predict: Whether MLflow found a predict().
        refusal: What predict() said when it was given the example; empty if it answered, None if it was not asked.
    """
    if not can_predict:
        says = "the model has no predict(), which MLflow asks for a signature and every server for an answer"
        return says, ("log a predictor, or a Pipeline that ends in one",)
    form = _form(example)
    if form:
        return form
    if refusal == "" and example.kind == OBJECT and _is_list_of_values(example.data):
        return "it is a list, which the model's predict() takes and MLflow turns into a DataFrame", ()
    says, fix = TOLD_NOT_TO, tuple[str, ...]()
    if example.kind == FRAME and isinstance(example.data, Mapping):
        says, fix = _columns(example.data)
    elif isinstance(example.data, list) and example.data and all(isinstance(row, Mapping) for row in example.data):
        names = list(dict.fromkeys(name for row in example.data for name in row))
        says, fix = _columns({"columns": names, "data": [[row.get(name) for name in names] for row in example.data]})
    rows = isinstance(example.data, list) and any(isinstance(row, Mapping) for row in example.data)
    if refusal and rows and ZONED not in says:
        says = f"it is a list of dicts, of which MLflow makes a DataFrame, and predict() refuses that: {refusal}"
        return says, ("fit the model on a DataFrame, with a OneHotEncoder in the place of a DictVectorizer",)
    # Of a column of times with a zone JSON made texts, so what predict() said of them is not what it says of X.
    if refusal and ZONED not in says:
        return f"the model's predict() refuses its own input example, so MLflow made no signature: {refusal}", ()
    return says if refusal is not None else says + OR_REFUSED, fix


def _form(example: Example) -> tuple[str, tuple[str, ...]] | None:
    """An example of a form that MLflow makes no signature of, whatever the model."""
    data = example.data
    if example.kind == ARRAY and isinstance(data, Mapping):
        return "the example is an array for each column, which predict() does not take", (
            "example = pd.DataFrame(example)",
        )
    if example.kind == OBJECT and isinstance(data, Mapping) and all(isinstance(value, list) for value in data.values()):
        says = "the example is a dict of lists, which MLflow takes for one row whose values are lists"
        return says, ("example = pd.DataFrame(example)",)
    if example.kind == OBJECT and isinstance(data, list) and any(isinstance(row, list) for row in data):
        return "the example is a list of lists, of which MLflow makes no signature", ("example = np.array(example)",)
    return None


def _is_list_of_values(data: Any) -> bool:
    return isinstance(data, list) and not any(isinstance(row, list | Mapping) for row in data)


def _columns(data: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The columns of a DataFrame that may be of a type which MLflow does not take."""
    rows: Sequence[Sequence[Any]] = data["data"]
    names = [str(name) for name in data.get("columns", range(len(rows[0]) if rows else 0))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return f"two columns of the example are called {twice[0]!r}", ("give each column a name of its own",)
    values = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    for name, column in values.items():
        if len({_kind(value) for value in column} - {""}) > 1:
            says = f"column {name!r} of the example mixes types, and MLflow has one type for a column"
            return says, (f"X[{name!r}] = X[{name!r}].astype(str)  # and fit again",)
    suspects = [(name, *_suspect(column)) for name, column in values.items()]
    level = min((level for _, level, _ in suspects if level), default=0)
    likely = {
        kinds: [name for name, _, other in suspects if other == kinds] for _, at, kinds in suspects if at == level
    }
    if not level:
        return TOLD_NOT_TO, ()
    found = ", ".join(f"{kinds} (perhaps {_listed(names)})" for kinds, names in likely.items())
    plain = sorted(name for kinds, names in likely.items() if "Sparse" in kinds for name in names)
    fix = [f"X = X.astype(dict.fromkeys({plain!r}, 'float64'))  # before fit(), if they are sparse or uint64"]
    return f"MLflow could not take one of its columns, of type {found}", tuple(fix if plain else ())


def _suspect(column: Sequence[Any]) -> tuple[int, str]:
    """Types that a column may have had, which JSON does not show and MLflow refuses; the surest have level 1."""
    kinds, gaps = {_kind(value) for value in column}, any(_kind(value) == "" for value in column)
    if "text" in kinds:
        zoned = all(ZONE.fullmatch(value) for value in column if isinstance(value, str))
        return (1, ZONED) if zoned else (2, "category")
    if "bool" in kinds:
        return (1, "boolean with gaps") if gaps else (0, "")
    if "number" not in kinds:
        return 0, ""
    if not all(isinstance(value, int) for value in column if _kind(value)):
        return 3, "Sparse"
    return (1, "Int64 with gaps or category") if gaps else (2, "category, uint64 or Sparse")


def _kind(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else type(value).__name__


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
