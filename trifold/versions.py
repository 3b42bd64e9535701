"""What a model version's predictions look like in a table: their type, their classes, their interval."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trifold.database import Database, literal
from trifold.errors import JobError
from trifold.model import Model
from trifold.packed import Packed, read_expected
from trifold.rows import Array
from trifold.settings import Settings
from trifold.warmup import warm_up

TYPES = {"f": "float8", "i": "bigint", "u": "bigint", "b": "boolean", "O": "text", "U": "text", "S": "text"}
"""PostgreSQL's type by numpy's kind of the predictions."""


@dataclass(frozen=True)
class Version:
    """A model version as its predictions show it.

    Attributes:
        model: The registered model's name.
        version: Its version.
        digest: Its digest.
        classes: Names of the classes, in the order of the probabilities; with several outputs "0: no", "1: …".
        half_width: Half width of a regressor's interval, in the prediction's unit; None: it has none.
        type: PostgreSQL's type of a prediction.
    """

    model: str
    version: str
    digest: str
    classes: tuple[str, ...]
    half_width: float | None
    type: str

    @classmethod
    def of(cls, model: Model, packed: Packed) -> "Version":
        """The version of a loaded model.

        Raises:
            JobError: Its rows are tensors, which no table has, or it has no input example.
        """
        if not model.contract.takes_tables:
            raise JobError(f"{packed.name} takes tensors, and a table has no column for them; serve it online.")
        labels = model.labels
        several = len(labels) > 1
        classes = [f"{number}: {name}" if several else name for number, names in enumerate(labels) for name in names]
        profile = model.contract.profile
        half_width = profile.interval if profile else None
        return cls(packed.name, packed.version, packed.digest, tuple(classes), half_width, _type(model, packed))

    def insert(self, database: Database, schema: str) -> None:
        """Say in the database what the probabilities of this version mean; once."""
        classes = ", ".join(map(literal, self.classes))
        width = "NULL" if self.half_width is None else repr(float(self.half_width))
        database.run(
            f"INSERT INTO {schema}.batch_versions (digest, model, version, classes, half_width) VALUES "
            f"({', '.join(map(literal, (self.digest, self.model, self.version)))}, ARRAY[{classes}]::text[], {width}) "
            "ON CONFLICT DO NOTHING"
        )


def load(folder: Path, settings: Settings) -> tuple[Model, Version]:
    """A packed model that has predicted its own example, and what its predictions look like.

    Raises:
        TrifoldError: It cannot be loaded, or its rows are none of a table.
    """
    packed = Packed.read(folder)
    model = Model.load(folder, expected_digest=settings.digest, threads=settings.threads)
    warm_up(model, packed, read_expected(folder))
    return model, Version.of(model, packed)


def _type(model: Model, packed: Packed) -> str:
    predictions = example(model, packed)
    array = "[]" * (predictions.ndim - 1)
    return TYPES[predictions.dtype.kind] + array


def example(model: Model, packed: Packed) -> Array:
    """The predictions of the input example.

    Raises:
        JobError: There is none.
    """
    if not packed.input_example:
        raise JobError(f"{packed.name} has no input example, which shows what it answers; log it with one.")
    rows: Any = model.contract.check_rows(packed.input_example).rows
    return np.asarray(model.predict(rows).predictions)
