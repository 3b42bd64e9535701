"""What a check gives: accepted rows, and rejects that show what came."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trifold.contract.signature import Signature
from trifold.errors import GOT_LENGTH, Reject
from trifold.rows import Array, Rows

Extra = Literal["refuse", "ignore"]
"""What to do with columns that the model does not have."""


class NotFinite(float):
    """NaN, Infinity or a number too large for a double, as found in JSON text; prints as `token`."""

    token: str = "NaN"


class Repeated(dict[str, Any]):
    """A JSON object in which a name stands twice; `names` are those."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Checked:
    """What a check gives.

    Attributes:
        rows: The accepted rows, in order.
        accepted: Position of each accepted row in what was checked.
        rejects: Every reason, by row, then in the contract's order of columns.
    """

    rows: Rows
    accepted: Array
    rejects: tuple[Reject, ...]


def printable(words: str) -> str:
    """A string as UTF-8 can carry it: half a surrogate pair becomes a question mark."""
    return words.encode(errors="replace").decode()


def text(value: Any) -> str:
    """A refused value in JSON's words, cut early so that a huge one costs little."""
    if isinstance(value, NotFinite):
        return value.token
    if type(value) is str:
        value = value[: GOT_LENGTH + 1]
    if value is None or type(value) in (bool, int, float, str):
        try:
            return printable(json.dumps(value, ensure_ascii=False))
        except ValueError:  # an integer of more digits than Python writes
            return "a number of very many digits"
    if type(value) is dict or type(value) is Repeated:
        return f"an object of {len(value)} names"
    if type(value) is list:
        return f"a list of {len(value)} items"
    return repr(value)


def settle(
    signature: Signature, arrays: Sequence[Array], found: Iterable[tuple[int, int, Reject]], count: int
) -> Checked:
    """Split rows into accepted ones and rejects; `found` holds (row, column position, reject)."""
    ordered = sorted(found, key=lambda entry: entry[:2])
    rejects = tuple(reject for _, _, reject in ordered)
    rows = _together(signature, arrays)
    if not rejects:
        return Checked(rows, np.arange(count), rejects)
    keep = np.ones(count, dtype=bool)
    keep[[row for row, _, _ in ordered]] = False
    accepted = np.flatnonzero(keep)
    return Checked(rows.take(accepted), accepted, rejects)


def _together(signature: Signature, arrays: Sequence[Array]) -> Rows:
    if signature.all_doubles:
        return Rows(matrix=np.column_stack(arrays))
    return Rows(columns=dict(zip(signature.names, arrays, strict=True)))
