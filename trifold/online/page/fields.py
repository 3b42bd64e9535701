"""The form's fields, from the contract: one a column, with the profile's words, choices and ranges."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from trifold.contract.contract import Contract
from trifold.contract.profile import Feature, Profile
from trifold.contract.signature import Column

MOST_FIELDS = 60
"""A longer form nobody fills in: above, the page takes lists only."""
MOST_NUMBERS = 30
"""Of a tensor of one dimension; a longer one is pasted as it is."""
NUMBERS = {"integer": "whole", "long": "whole", "float": "number", "double": "number"}
BOOLEAN = (("true", "Yes"), ("false", "No"))


@dataclass(frozen=True)
class Field:
    """One field of the form.

    Attributes:
        place: Its position, from 0.
        name: The column's name.
        title: Words for people.
        kind: "choice", "number", "whole", "time", "text" or "json".
        required: Whether it has to be filled in.
        unit: Of the value.
        choices: JSON and words of each.
        minimum: Least value at training; less is warned of and refused by nobody.
        maximum: Greatest value at training.
    """

    place: int
    name: str
    title: str
    kind: str
    required: bool = True
    unit: str | None = None
    choices: tuple[tuple[str, str], ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def range(self) -> str | None:
        """Least and greatest value at training, in words."""
        if self.minimum is None or self.maximum is None:
            return None
        return f"{number(self.minimum)} to {number(self.maximum)}"


def shape(contract: Contract) -> str:
    """How a row is made of the fields: "named", "list", or "single" for the one field's value itself."""
    signature = contract.signature
    if signature.tensor is not None:
        return "list" if len(signature.tensor.shape) == 1 and signature.tensor.shape[0] <= MOST_NUMBERS else "single"
    if signature.named:
        return "named"
    return "list" if len(signature.columns) > 1 else "single"


def fields(contract: Contract) -> tuple[Field, ...]:
    """The fields, in the contract's order; none where they would be too many."""
    found = tuple(_of_tensor(contract) if contract.signature.tensor is not None else _of_columns(contract))
    return found if len(found) <= MOST_FIELDS else ()


def number(value: float) -> str:
    """A number as people write it."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def _of_tensor(contract: Contract) -> Iterator[Field]:
    tensor = contract.signature.tensor
    assert tensor is not None
    if shape(contract) == "list":
        kind = "number" if tensor.dtype.kind == "f" else "whole" if tensor.dtype.kind in "iu" else "json"
        for place in range(tensor.shape[0]):
            yield Field(place, f"[{place}]", f"Number {place + 1}", kind)
    else:
        sizes = " x ".join(map(str, tensor.shape)) or "one value"
        yield Field(0, "", f"The row as a list ({sizes})", "json")


def _of_columns(contract: Contract) -> Iterator[Field]:
    profile = contract.profile or Profile()
    for place, column in enumerate(contract.signature.columns):
        feature = profile.features.get(column.name, Feature())
        choices = _choices(column, feature)
        yield Field(
            place,
            column.name,
            feature.title or _readable(column.name, named=contract.signature.named),
            "choice" if choices else _kind(column),
            column.required,
            feature.unit,
            choices,
            feature.minimum,
            feature.maximum,
        )


def _kind(column: Column) -> str:
    if column.depth:
        return "json"
    return "time" if column.kind.name == "datetime" else NUMBERS.get(column.kind.name, "text")


def _choices(column: Column, feature: Feature) -> tuple[tuple[str, str], ...]:
    if column.depth:
        return ()
    if column.kind.name == "boolean":
        return BOOLEAN
    return tuple((json.dumps(choice), str(choice)) for choice in feature.choices or ())


def _readable(name: str, *, named: bool) -> str:
    """A column's name as words: `first_name` is First name."""
    if not named:
        return f"Value {int(name) + 1}" if name.isdigit() else name
    words = name.replace("_", " ").strip() or "(no name)"
    return words[0].upper() + words[1:]
