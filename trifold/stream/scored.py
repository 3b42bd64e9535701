"""Score a batch of messages: what becomes a prediction, what a dead letter, and how far the batch goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trifold.accepted import predict_accepted
from trifold.answers import Answers
from trifold.errors import Reject
from trifold.model import Model
from trifold.stream.events import Dead, dead, take
from trifold.stream.stream import Stream

Partition = tuple[str, int]
"""A partition: topic and number."""


@dataclass(frozen=True)
class Progress:
    """How far a batch goes in one partition: from `start` on, up to before `end`."""

    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Scored:
    """What a sink writes in one transaction.

    Attributes:
        progress: Per partition.
        messages: The predicted ones, in order.
        documents: Their JSON.
        answers: Their predictions.
        dead: The dead letters.
        passed: Events passed over, by reason.
    """

    progress: Mapping[Partition, Progress]
    messages: Sequence[Any]
    documents: Sequence[Any]
    answers: Answers
    dead: Sequence[Dead]
    passed: Mapping[str, int]


def score(messages: Sequence[Any], progress: Mapping[Partition, Progress], stream: Stream, model: Model) -> Scored:
    """Score messages of confluent-kafka; a bad one sinks no other.

    Args:
        messages: In the order of each partition.
        progress: How far they go.
        stream: What is taken of them.
        model: The model.
    """
    taken = take(messages, stream, model.contract.signature.names)
    checked = model.contract.check_rows(taken.rows, extra="ignore")
    answers, fine, refused = predict_accepted(model, checked.rows)
    if not checked.rejects and not refused:
        return Scored(progress, taken.messages, taken.documents, answers, taken.dead, taken.passed)
    accepted = checked.accepted[fine]
    rejects: dict[int, list[Reject]] = {}
    for reject in checked.rejects:
        rejects.setdefault(reject.row or 0, []).append(reject)
    for reject in refused:
        rejects[int(checked.accepted[reject.row or 0])] = [reject]
    letters = [dead(taken.messages[row], reasons) for row, reasons in rejects.items()]
    return Scored(
        progress,
        [taken.messages[row] for row in accepted],
        [taken.documents[row] for row in accepted],
        answers,
        [*taken.dead, *letters],
        taken.passed,
    )
