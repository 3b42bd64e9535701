"""The differential test: generated models say behind each door what their estimators say of the original rows.

TRIFOLD_RIGHT=17 tries pipeline 17 alone, TRIFOLD_PROVE=1 tries 5,000 and prints counts (`make prove-right`).
"""

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from tests.doors import Answer, Logged, Refusal
from tests.right.direct import Said
from tests.right.judge import BITS, LAST_BITS, LEFT, REFUSED, WRONG, Finding, Judge, examine
from tests.right.pipelines import Case, draw_case

PIPELINES, CHUNK, PROVED = 120, 10, 5_000
ONE, PROVE = os.environ.get("TRIFOLD_RIGHT"), os.environ.get("TRIFOLD_PROVE") == "1"
CHUNKS = [range(int(ONE), int(ONE) + 1)] if ONE else [range(n, n + CHUNK) for n in range(0, PIPELINES, CHUNK)]
REPEAT = "TRIFOLD_RIGHT={} .venv/bin/python -m pytest tests/right/test_right.py"


def report(case: Case, findings: Iterable[Finding]) -> Iterator[str]:
    """What is wrong with a pipeline: the first row behind each door, and how to try it again."""
    wrong: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.outcome == WRONG:
            wrong.setdefault(finding.door, []).append(finding)
    if wrong:
        yield f"pipeline {case.number}{', logged by MLflow alone' if case.plain else ''}: {case.words}"
        for door, found in wrong.items():
            yield f"  {door}: {len(found)} rows, the first {found[0].row}: {found[0].why}"
        yield f"  again: {REPEAT.format(case.number)}"


@pytest.mark.parametrize("numbers", CHUNKS, ids=lambda numbers: f"{numbers[0]}-{numbers[-1]}")
def test_each_door_gives_the_estimators_own_answer(numbers):
    """A row of any type gets the estimator's own answer through every door, or a refusal for an allowed reason."""
    said = [line for number in numbers for line in report(*examine(number))]
    assert not said, "\n".join(["", *said])


@pytest.mark.skipif(not PROVE, reason="takes an hour: make prove-right")
@pytest.mark.timeout(6 * 3600)
def test_five_thousand_pipelines_are_right():
    """The same for many more, counted."""
    counts, pipelines, said = Counter[tuple[str, str]](), Counter[str](), list[str]()
    with multiprocessing.get_context("fork").Pool(maxtasksperchild=50) as pool:
        for found, lines in pool.imap_unordered(_tried, range(PROVED), chunksize=5):
            counts.update((one.outcome, one.why if one.outcome in (LEFT, REFUSED) else "") for one in found)
            pipelines["wrong" if lines else "right"] += 1
            said += lines
            if pipelines.total() % 250 == 0:
                print(f"\n{pipelines.total():,} of {PROVED:,} pipelines", end="", flush=True)
    print(
        f"\n{pipelines.total():,} pipelines, {pipelines['wrong']:,} of them wrong; {counts.total():,} rows behind doors"
    )
    for (outcome, why), count in sorted(counts.items(), key=lambda entry: -entry[1]):
        print(f"{count:>12,}  {outcome}{': ' + why if why else ''}")
    print("\n".join(said))
    assert not said


def _tried(number: int) -> tuple[list[Finding], list[str]]:
    case, findings = examine(number)
    return findings, list(report(case, findings))


class TestTheJudge:
    """What finds wrong answers has to find them."""

    @pytest.fixture(scope="class")
    def judged(self):
        """A case that is all right, and a function that judges one row of it."""
        case = draw_case(6)
        row = next(row for row, said in enumerate(case.said) if isinstance(said, Said) and said.scores)
        judge = Judge(replace(case, blocks=()), Logged({}, None))
        return case.said[row], lambda got: judge.judge("JSON", [row], [got])[0].outcome

    def test_the_same_is_the_same(self, judged):
        """The estimator's own answer is right, to the bit or nearly."""
        said, judge = judged
        assert judge(Answer(said.prediction, said.scores)) in (BITS, LAST_BITS)

    def test_another_label_is_wrong(self, judged):
        """A label is never nearly right."""
        said, judge = judged
        assert judge(Answer(("another",), said.scores)) == WRONG

    @pytest.mark.parametrize("more", [1e-9, 0.1])
    def test_another_number_is_wrong(self, judged, more):
        """Nor is a probability that differs before the last bits."""
        said, judge = judged
        first, *others = said.scores
        assert judge(Answer(said.prediction, (first + more, *others))) == WRONG

    def test_names_of_other_classes_are_wrong(self, judged):
        """Probabilities that stand beside each other's classes are no right answer."""
        said, judge = judged
        assert judge(Answer(said.prediction, said.scores, tuple("xyz"[: len(said.scores)]))) == WRONG

    def test_a_refusal_without_a_reason_is_wrong(self, judged):
        """What the estimator answers may be refused for a declared reason only."""
        _, judge = judged
        assert judge(Refusal("refused_by_model", None, "so")) == WRONG
        assert judge(Refusal("type", "x", "a number; got text")) == WRONG


def test_a_number_always_gives_the_same_pipeline():
    """A failure can be looked at again."""
    one, other = draw_case(3), draw_case(3)
    assert (one.words, one.said) == (other.words, other.said)
    assert one.X.equals(other.X)
