"""Columns for generated models: values for training, and others to ask about, some of them unusual."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tests.right.draws import GAP, Random
from tests.right.kinds import Kind

ODD_NAMES = (
    "a b", 'say "x"', "naïve 🦆", "x,y", "a.b", "rows", "v;w", "prediction", "refused", "0", "Age", "age", "it's",
    "a/b", "row", "#", "id ", "_", "1e3", "key",
)  # fmt: skip
PLAIN_NAMES = ("age", "income", "town", "plan", "since", "member", "visits", "score", "kind", "height")


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a generated model.

    Attributes:
        name: Its name, a number in a frame that was made of an array.
        kind: Its type.
        train: Values for training.
        ask: Values to ask about, some of them unusual.
        gaps: Whether values are missing at training.
    """

    name: Any
    kind: Kind
    train: pd.Series = field(repr=False)
    ask: pd.Series = field(repr=False)
    gaps: bool

    def __str__(self) -> str:
        gaps = f" with {self.kind.marker}" if self.gaps else ""
        return f"{self.name!r}: {self.kind.name}{gaps}"


def make_column(name: Any, kind: Kind, random: Random, rows: int, asked: int) -> Column:
    """A column: `asked` rows to ask about are drawn like those for training; a few have strange or missing values."""
    values = kind.draw(random, rows + asked)
    share = random.choice([0, 0, 0.08, 0.25]) if kind.marker else 0
    known, new = values[:rows], values[rows:]
    for place in range(asked):
        if kind.strange and random.random() < 0.12:
            new[place] = kind.strange[random.integers(len(kind.strange))]
    if share:
        known = _gapped(known, random, share)
        new = _gapped(new, random, share)
    elif kind.marker and random.random() < 0.3:
        new = _gapped(new, random, 0.05)
    train = kind.build(known)
    return Column(name, kind, train, _like(kind, new, train), bool(train.isna().any()))


def draw_names(random: Random, count: int) -> list[Any]:
    """Names for columns: plain ones, odd ones, or numbers."""
    style = random.random()
    if style < 0.12:
        return list(range(count))
    pool = ODD_NAMES if style < 0.45 else PLAIN_NAMES
    return [str(name) for name in random.choice(pool, count, replace=False)]


def _gapped(values: list[Any], random: Random, share: float) -> list[Any]:
    return [GAP if random.random() < share else value for value in values]


def _like(kind: Kind, values: list[Any], train: pd.Series) -> pd.Series:
    """Values to ask about in the type of the training values; a category may have values that training had not."""
    series = kind.build(values)
    if isinstance(train.dtype, pd.CategoricalDtype):
        known = train.dtype.categories
        new = [value for value in series.dtype.categories if value not in known]
        return series.cat.set_categories([*known, *new], ordered=train.dtype.ordered)
    return series if series.dtype == train.dtype else series.astype(train.dtype)
