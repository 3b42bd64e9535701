"""Compare what doors say with the oracle, row by row: the same, refused for a reason that is allowed, or wrong."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import threadpoolctl

from tests import doors
from tests.doors import Answer, Logged, Refusal, Row, Sent
from tests.right import allowed, wire
from tests.right.direct import Raised, Said, ask_each, ask_in_blocks, close, same_bits, take
from tests.right.kinds import BOTH
from tests.right.pipelines import Case, draw_case
from trifold.errors import TrifoldError

BITS, LAST_BITS, LEFT, REFUSED, WRONG = "same to the bit", "same to 1e-12", "not sent", "refused", "wrong"
LOADING = "log and load"


@dataclass(frozen=True)
class Finding:
    """What became of a row behind a door.

    Attributes:
        number: The pipeline's number.
        door: The door.
        row: The row; None: all of them.
        outcome: BITS, LAST_BITS, LEFT, REFUSED or WRONG.
        why: The reason that is allowed, or what is wrong.
    """

    number: int
    door: str
    row: int | None
    outcome: str
    why: str = ""


def examine(number: int) -> tuple[Case, list[Finding]]:
    """Pipeline number so and so, asked directly and through all doors."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), threadpoolctl.threadpool_limits(1):
        warnings.simplefilter("ignore")
        case = draw_case(number)
        try:
            logged = doors.log(case.estimator, case.X, plain=case.plain)
            model = doors.load(case.estimator, logged, case.blocks)
        except TrifoldError as error:
            reason = allowed.at_logging(case, str(error))
            words = f"{type(error).__name__}: {error}"
            return case, [Finding(number, LOADING, None, REFUSED if reason else WRONG, reason or words)]
        except Exception as error:  # noqa: BLE001 - log_model would end with it
            return case, [Finding(number, LOADING, None, WRONG, f"crashed: {type(error).__name__}: {error}")]
        with doors.new_folder() as folder:
            doors.write_reference(logged, case.X, Path(folder))
            return case, [*_behind(case, logged, doors.open_doors(model, Path(folder)))]


def _behind(case: Case, logged: Logged, all_doors: Any) -> list[Finding]:
    judge, findings = Judge(case, logged), list[Finding]()
    whole = Sent(wire.as_rows(case), wire.as_table(case), wire.as_arrow(case))
    for name, door in all_doors.items():
        left = {row: why for row in range(len(case.said)) if (why := allowed.not_sent(case, name, row))}
        sent = [row for row in range(len(case.said)) if row not in left]
        findings += [Finding(case.number, name, row, LEFT, why) for row, why in left.items()]
        if sent:
            findings += judge.judge(name, sent, door(_part(whole, sent)))
    return findings


def _part(whole: Sent, rows: Sequence[int]) -> Sent:
    table = whole.table and (whole.table[0], [whole.table[1][row] for row in rows])
    return Sent([whole.rows[row] for row in rows], table, whole.arrow and whole.arrow.take(list(rows)))


class Judge:
    """Judges a case's rows."""

    def __init__(self, case: Case, logged: Logged) -> None:
        self.case, self.logged = case, logged
        self._blocks: dict[tuple[int, ...], list[Said]] = {}

    def judge(self, door: str, sent: Sequence[int], came: Sequence[Row]) -> list[Finding]:
        """What became of the rows behind a door."""
        answered = tuple(row for row, got in zip(sent, came, strict=True) if isinstance(got, Answer))
        in_blocks = dict(zip(answered, self._in_blocks(answered), strict=False))
        found = []
        for row, got in zip(sent, came, strict=True):
            outcome, why = self._outcome(row, got, in_blocks.get(row))
            found.append(Finding(self.case.number, door, row, outcome, why))
        return found

    def _outcome(self, row: int, got: Row, block: Said | None) -> tuple[str, str]:
        said = self.case.said[row]
        if isinstance(got, Refusal):
            reason = allowed.refusal(self.case, row, got)
            return (REFUSED, reason) if reason else (WRONG, f"refused: {got.rule}, {got.column}: {got.words}")
        if isinstance(said, Raised):
            return self._otherwise(row, f"{got.prediction} where it raises {said.words}")
        nameless = got.scores is None and not hasattr(self.case.estimator, "classes_")
        if nameless:  # nobody could say of what the scores are, so no door does
            said, block = replace(said, scores=None), block and replace(block, scores=None)
        if said.infinite:
            return WRONG, f"{got.prediction} where it says {said.prediction}"
        found = self._read(got, said)
        if found is None:
            return self._otherwise(row, f"{got.prediction} {got.names or ''} where it says {said.prediction}")
        if block is not None and same_bits(found, block):
            return BITS, ""
        if close(found, said):
            return LAST_BITS, ""
        others = [other[row] for other in self._other_markers if isinstance(other[row], Said)]
        if any(close(found, replace(other, scores=None) if nameless else other) for other in others):
            return LAST_BITS, allowed.EITHER
        return self._otherwise(row, f"{_short(found)} where it says {_short(said)}")

    def _otherwise(self, row: int, words: str) -> tuple[str, str]:
        """A wrong answer, unless check has warned that the signature does not tell enough of a column."""
        warned = allowed.warned(self.case, self.logged.warned)
        return (REFUSED, warned) if warned else (WRONG, words)

    def _read(self, got: Answer, said: Said) -> Said | None:
        """A door's answer in the types of the estimator's; None where it cannot be that."""
        if len(got.prediction) != len(said.prediction):
            return None
        prediction = tuple(_typed(value, like) for value, like in zip(got.prediction, said.prediction, strict=True))
        names = self._names
        if names and got.names and got.names != names:
            return None
        return Said(prediction, got.scores, said.single)

    @cached_property
    def _names(self) -> tuple[str, ...] | None:
        """Names of the classes, as they should stand beside probabilities."""
        classes = getattr(self.case.estimator, "classes_", None)
        first = next((said for said in self.case.said if isinstance(said, Said)), None)
        if not isinstance(classes, np.ndarray) or first is None or len(classes) != len(first.scores or ()):
            return None
        if classes.dtype.kind == "M":
            return None
        return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in classes.tolist())

    @cached_property
    def _other_markers(self) -> list[Sequence[Said | Raised]]:
        """What the estimator says where a null may have been None or NaN, which no door can tell apart."""
        mixed = [column for column in self.case.columns if column.kind.marker == BOTH and column.gaps]
        answers = []
        for marker in (None, np.nan) if mixed else ():
            asked = self.case.asked.copy()
            for column in mixed:
                gaps = column.ask.isna()
                asked[column.name] = pd.Series(
                    [marker if gap else value for value, gap in zip(column.ask, gaps, strict=True)], dtype=object
                )
            answers.append(ask_each(self.case.estimator, asked))
        return answers

    def _in_blocks(self, rows: tuple[int, ...]) -> list[Said]:
        if rows not in self._blocks:
            try:
                self._blocks[rows] = ask_in_blocks(self.case.estimator, take(self.case.asked, rows), self.case.blocks)
            except Exception:  # noqa: BLE001 - it raises for one of them, which is judged by itself
                self._blocks[rows] = []
        return self._blocks[rows]


def _typed(value: Any, like: Any) -> Any:
    """A value in the type of another, if it means the same; what CSV gives is text."""
    if isinstance(like, bool):
        return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if isinstance(like, int | float):
        if value is None:
            return math.nan
        if isinstance(value, bool):
            return str(value)
        try:
            return float(value) if isinstance(like, float) else int(value)
        except ValueError:
            return value
    return _as_time(value, like) if isinstance(like, str) and isinstance(value, str) else value


def _as_time(value: str, like: str) -> str:
    """A time in the form of another, where both are one."""
    if value == like or not like[:4].isdigit():
        return value
    try:
        same = pd.Timestamp(value).tz_localize(None) == pd.Timestamp(like)
    except (ValueError, TypeError):
        return value
    return like if same else value


def _short(said: Said) -> str:
    scores = "" if said.scores is None else f" {[float(f'{score:.4g}') for score in said.scores]}"
    return f"{said.prediction}{scores}"
