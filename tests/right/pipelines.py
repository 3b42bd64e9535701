"""Generated models: pipeline number N is always the same one."""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.right import estimators, features, kinds, own
from tests.right.columns import Column, draw_names, make_column
from tests.right.direct import Raised, Said, ask_each
from tests.right.draws import WORDS, Random
from tests.right.estimators import pick, takes_missing
from tests.right.kinds import Kind
from tests.right.recipes import draw_recipe
from tests.right.targets import Target, draw_signal, draw_target

SEED = 16
MOST_TRIES = 600
TRIES_OF_DATA = 40
"""So many models are tried on the same columns: those that few models take would else be rare."""
ASKED = 40
LEAST_SHARE = 0.6
FAMILIES: Sequence[tuple[float, Sequence[Kind]]] = (
    (0.36, kinds.NUMBERS), (0.07, kinds.FLAGS), (0.23, kinds.TEXTS), (0.1, kinds.CATEGORIES), (0.15, kinds.TIMES),
    (0.03, kinds.DATES), (0.05, kinds.LISTS), (0.01, (kinds.UNTYPED,)),
)  # fmt: skip
PLAIN_SHARE = 0.25
FROM_DTYPE = "from_dtype"
Drawn = tuple[Any, Any, tuple[Column, ...], Callable[[Random], list[Any]]]
"""Rows for training and rows to ask about, their columns, and what draws the transformers."""


@dataclass(frozen=True, eq=False)
class Case:
    """A generated model, fitted, and rows to ask it about.

    Attributes:
        number: Its number.
        words: What it is.
        columns: Its columns; none of an array or of texts.
        X: What it was fitted on.
        asked: Rows to ask about, in X's form.
        estimator: The fitted estimator.
        said: What it says of them, or raises.
        plain: Whether it is logged by MLflow alone, with the first rows as its example.
        blocks: In blocks of which size it predicts; none for all rows at once.
    """

    number: int
    words: str
    columns: tuple[Column, ...]
    X: Any = field(repr=False)
    asked: Any = field(repr=False)
    estimator: Any = field(repr=False)
    said: Sequence[Said | Raised] = field(repr=False)
    plain: bool = False
    blocks: tuple[int, ...] = ()


class Unfit(Exception):
    """A model that is not worth asking: it says the same of all rows, or raises for most."""


def draw_case(number: int) -> Case:
    """Pipeline number so and so."""
    for attempt in range(MOST_TRIES):
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return _drawn(number, attempt)
        except UNFIT:
            continue
    raise AssertionError(f"No try of {MOST_TRIES} made pipeline {number}.")


UNFIT = (Unfit, ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError, ArithmeticError)
"""What a model raises that was drawn without sense, such as text for a scaler."""


def _drawn(number: int, attempt: int) -> Case:
    data = np.random.default_rng([SEED, number, attempt // TRIES_OF_DATA])
    form = data.random()
    draw = _draw_array if form < 0.07 else _draw_texts if form < 0.1 else _draw_frame
    X, asked, columns, style = draw(data, int(data.integers(60, 120)))
    random = np.random.default_rng([SEED, number, attempt, 1])
    before = style(random)
    target = draw_target(random, draw_signal(random, columns, X))
    estimator = _assembled(random, before, target, X)
    estimator.fit(X, *([] if target.y is None else [target.y]))
    said = ask_each(estimator, asked)
    _require_worth(said)
    plain = bool(random.random() < PLAIN_SHARE)
    blocks = [(), (8,), (8,), (16,), (64,)][random.integers(5)]
    words = f"{'; '.join(map(str, columns)) or _words_of(X)} -> {_named(estimator)}, {target.words}"
    return Case(number, words, columns, X, asked, estimator, said, plain, blocks)


def _named(estimator: Any) -> str:
    """An estimator in words; whose class is our own is said, since some have scikit-learn's names."""
    parts = [estimator, *estimator.get_params().values()]
    ours = sorted({type(part).__name__ for part in parts if type(part).__module__ == own.__name__})
    words = re.sub(r"<(?:function )?(?:\w+\.)*(\w+)(?: object)? at 0x\w+>", r"\1", " ".join(repr(estimator).split()))
    return words + (f" (own: {', '.join(ours)})" if ours else "")


def _words_of(X: Any) -> str:
    return f"array of {X.dtype}, {X.shape[1:]}" if isinstance(X, np.ndarray) else f"{type(X).__name__} of texts"


def _require_worth(said: Sequence[Said | Raised]) -> None:
    fine = [one for one in said if isinstance(one, Said)]
    if len(fine) < LEAST_SHARE * len(said) or len({one.prediction for one in fine}) < 2:
        raise Unfit


def _draw_frame(random: Random, rows: int) -> Drawn:
    """Columns of some types, and the transformers that make numbers of them."""
    style = random.random()
    chosen = _draw_kinds(random, "numbers" if style < 0.2 else "boosting" if style < 0.27 else "mixed")
    names = draw_names(random, len(chosen))
    columns = tuple(make_column(name, kind, random, rows, ASKED) for name, kind in zip(names, chosen, strict=True))
    X, asked = _frame(columns, "train"), _frame(columns, "ask")
    if style < 0.2:
        return X, asked, columns, lambda again: _draw_plain(again, columns)
    if style < 0.27:
        return X, asked, columns, lambda again: [FROM_DTYPE]
    return X, asked, columns, lambda again: [_draw_transformer(again, columns)]


def _draw_plain(random: Random, columns: Sequence[Column]) -> list[Any]:
    return [[], [StandardScaler()], [draw_recipe(random, "number", columns)]][random.integers(3)]


def _frame(columns: Sequence[Column], part: str) -> pd.DataFrame:
    return pd.DataFrame({column.name: getattr(column, part) for column in columns})


def _draw_kinds(random: Random, style: str) -> list[Kind]:
    count = int(random.integers(1, 6))
    if style == "numbers":
        pool = kinds.NUMBERS[:1] if random.random() < 0.3 else kinds.NUMBERS
        return [pick(random, pool) for _ in range(count)]
    if style == "boosting":
        return [pick(random, (*kinds.CATEGORIES, *kinds.NUMBERS[:8], kinds.FLAGS[0])) for _ in range(count)]
    shares = [share for share, _ in FAMILIES]
    return [pick(random, FAMILIES[random.choice(len(FAMILIES), p=shares)][1]) for _ in range(count)]


def _draw_transformer(random: Random, columns: Sequence[Column]) -> Any:
    """A column transformer; columns are named, numbered or selected by dtype."""
    groups: dict[Any, list[int]] = {}
    alone = random.random() < 0.5
    for place, column in enumerate(columns):
        groups.setdefault(place if alone else column.kind.family, []).append(place)
    by_name = not isinstance(columns[0].name, int) and random.random() < 0.7
    parts = []
    for number, places in enumerate(groups.values()):
        family = columns[places[0]].kind.family
        recipe = draw_recipe(random, family, [columns[place] for place in places])
        chosen: Any = [columns[place].name for place in places] if by_name else places
        if family == "number" and not alone and random.random() < 0.3:
            chosen = make_column_selector(dtype_include="number")
        parts.append((f"part{number}", recipe, chosen))
    transformer = ColumnTransformer(parts, sparse_threshold=0)
    return transformer.set_output(transform="pandas") if random.random() < 0.15 else transformer


def _draw_array(random: Random, rows: int) -> Drawn:
    """A tensor."""
    dtype = str(random.choice(["float64", "float64", "float32", "int64", "int8", "uint8", "bool", "str"]))
    width, count = int(random.integers(1, 6)), rows + ASKED
    if dtype == "str":
        X: Any = random.choice(WORDS[:6], (count, width))
        return X[:rows], X[rows:], (), lambda again: [pick(again, [_one_hot, _ordinal])()]
    X = (random.normal(size=(count, width)) * 20).clip(0 if dtype == "uint8" else -99, 99)
    X = X > 0 if dtype == "bool" else X.astype(dtype)
    if dtype.startswith("float") and random.random() < 0.6:
        X[random.random(X.shape) < 0.1] = np.nan
    if random.random() < 0.2:
        X = np.stack([X, X[::-1]], axis=1)
        return X[:rows], X[rows:], (), lambda again: [FunctionTransformer(features.flat)]
    return X[:rows], X[rows:], (), lambda again: [] if again.random() < 0.5 else [StandardScaler()]


def _draw_texts(random: Random, rows: int) -> Drawn:
    """A list of texts, or a series."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    lines = [" ".join(random.choice(WORDS, random.integers(1, 6))) for _ in range(rows + ASKED)]
    analyzer = str(random.choice(["word", "char"]))

    def before(again: Random) -> list[Any]:
        return [pick(again, [CountVectorizer, TfidfVectorizer])(analyzer=analyzer)]

    if random.random() < 0.5:
        return lines[:rows], lines[rows:], (), before
    series = pd.Series(lines, name="text", dtype=pick(random, ["str", object]))
    return series[:rows], series[rows:], (), before


def _one_hot() -> Any:
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="ignore", sparse_output=False)


def _ordinal() -> Any:
    from sklearn.preprocessing import OrdinalEncoder

    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def _assembled(random: Random, before: list[Any], target: Target, X: Any) -> Any:
    """The whole estimator: transformers, what fills gaps, the last step, and what is around it."""
    if before == [FROM_DTYPE]:
        kind = HistGradientBoostingRegressor if target.kind == "number" else HistGradientBoostingClassifier
        return _wrapped(random, kind(categorical_features="from_dtype", **estimators.HGB), target)
    final = target.draw_estimator(random)
    steps = list(before)
    if steps and not takes_missing(final) and not scipy.sparse.issparse(X) and isinstance(X, pd.DataFrame):
        steps.append(SimpleImputer(keep_empty_features=True))
        if random.random() < 0.5:
            steps.append(StandardScaler())
    return _wrapped(random, make_pipeline(*steps, final) if steps else final, target)


def _wrapped(random: Random, inner: Any, target: Target) -> Any:
    wrappers = target.wrappers if random.random() < 0.35 else ()
    return pick(random, wrappers)(inner) if wrappers else inner
