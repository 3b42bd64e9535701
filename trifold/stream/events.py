"""Events: what comes off a topic, read, chosen and turned into rows; or why one cannot be."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from trifold.contract.checked import Repeated
from trifold.contract.json import read
from trifold.errors import NotJson, Reject
from trifold.stream.stream import Path, Stream

SOURCE = "trifold.source"
"""Header of a redriven event: its first position, as topic/partition/offset."""
TOMBSTONE, OTHERS = "tombstone", "where"
"""Why an event is passed over: it has no value, or is none of this model's."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where an event stands, or stood before it was redriven."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read what `str` gave.

        Raises:
            ValueError: It is no position.
        """
        topic, partition, offset = text.rsplit("/", 2)
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True, eq=False)
class Dead:
    """An event that cannot be predicted, whole.

    Attributes:
        position: Where it stands; of a redriven one, where it stood first.
        came: Where it was read.
        key: Its key.
        value: Its bytes.
        headers: Its headers.
        at: Its time, in milliseconds since 1970.
        rejects: Why.
    """

    position: Position
    came: Position
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes | None]]
    at: int
    rejects: Sequence[Reject]


@dataclass(frozen=True, eq=False)
class Taken:
    """What a batch of messages holds.

    Attributes:
        messages: Those that may be predicted, in order.
        documents: Their JSON.
        rows: Their rows, not yet checked.
        dead: Those that are no JSON, or too large.
        passed: How many were passed over, by reason.
    """

    messages: list[Any] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    passed: dict[str, int] = field(default_factory=dict)


def take(messages: Iterable[Any], stream: Stream, columns: Sequence[str]) -> Taken:
    """Read messages: those of the model as rows, those that nobody can read as dead letters.

    Args:
        messages: Of confluent-kafka.
        stream: Which events are taken, and where their columns are.
        columns: The model's columns.
    """
    taken = Taken()
    most, matches = stream.max_event_bytes, _matcher(stream.where)
    others = 0
    for message in messages:
        value = message.value()
        if value is None:
            taken.passed[TOMBSTONE] = taken.passed.get(TOMBSTONE, 0) + 1
            continue
        if len(value) > most:
            reject = Reject(None, None, "too_large", f"at most {most} bytes", f"{len(value)} bytes")
            taken.dead.append(dead(message, [reject]))
            continue
        try:
            document = read(value, "event")
        except NotJson as error:
            taken.dead.append(dead(message, [Reject(None, None, "json", "JSON", str(error))]))
            continue
        if matches is not None and not matches(document):
            if type(document) is dict or isinstance(document, Repeated):
                others += 1
            else:
                reject = Reject(None, None, "row", "an object", _kind(document))
                taken.dead.append(dead(message, [reject]))
            continue
        taken.messages.append(message)
        taken.documents.append(document)
    if others:
        taken.passed[OTHERS] = others
    taken.rows.extend(_rows(taken.documents, stream.fields, columns))
    return taken


def dead(message: Any, rejects: Sequence[Reject]) -> Dead:
    """A message as a dead letter."""
    headers = [(name, content) for name, content in message.headers() or () if name != SOURCE]
    return Dead(
        position(message),
        came(message),
        message.key(),
        message.value(),
        headers,
        message.timestamp()[1],
        rejects,
    )


def position(message: Any) -> Position:
    """Where a message stands; for a redriven one, where it stood first."""
    for name, content in message.headers() or ():
        if name == SOURCE and content:
            with suppress(ValueError):  # anybody may write to the topic
                return Position.parse(content.decode())
    return came(message)


def came(message: Any) -> Position:
    """Where a message was read."""
    return Position(message.topic(), message.partition(), message.offset())


def reasons(rejects: Sequence[Reject]) -> str:
    """Why an event is dead, as JSON: what HTTP answers, without the row."""
    return json.dumps(
        [
            {"column": reject.column, "rule": reject.rule, "expected": reject.expected, "got": reject.got}
            for reject in rejects
        ],
        ensure_ascii=False,
    )


def kept(documents: Sequence[Any], paths: Sequence[str]) -> list[str]:
    """What stands beside the predictions, as JSON objects by path; null where an event has nothing there."""
    ways = [(name, tuple(name.split("."))) for name in paths]
    return [
        orjson.dumps(
            {name: _at(document, way, None) for name, way in ways}, default=_plain, option=orjson.OPT_NON_STR_KEYS
        ).decode()
        for document in documents
    ]


_NOTHING = object()


def _at(document: Any, way: Path, otherwise: Any = _NOTHING) -> Any:
    for name in way:
        if not isinstance(document, dict) or name not in document:
            return otherwise
        document = document[name]
    return document


def _plain(value: Any) -> Any:
    """What orjson does not write by itself: subclasses that tell how a value was read."""
    return dict(value) if isinstance(value, dict) else None


def _matcher(where: Mapping[Path, Any]) -> Callable[[Any], bool] | None:
    """Whether an event is of this model; None: all are."""
    if not where:
        return None
    if len(where) == 1:
        ((way, wanted),) = where.items()
        if len(way) == 1 and isinstance(wanted, str):  # the usual case, four times as fast
            name = way[0]
            return lambda document: isinstance(document, dict) and document.get(name) == wanted
    return lambda document: all(_same(_at(document, way), wanted) for way, wanted in where.items())


def _same(found: Any, wanted: Any) -> bool:
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def _rows(documents: list[Any], fields: Mapping[str, Path], columns: Sequence[str]) -> list[Any]:
    """Events as rows; without fields an event is its row, and what the model does not know in it is passed over."""
    if not fields:
        return documents
    ways = [(column, fields.get(column, (column,))) for column in columns]
    if all(len(way) == 1 for _, way in ways):
        flat = [(column, way[0]) for column, way in ways]
        return [
            {column: document[name] for column, name in flat if name in document}
            if _plain_object(document)
            else document
            for document in documents
        ]
    return [_row(document, ways) for document in documents]


def _plain_object(document: Any) -> bool:
    return type(document) is dict


def _row(document: Any, ways: Sequence[tuple[str, Path]]) -> Any:
    if not isinstance(document, dict):
        return document
    found = ((column, _at(document, way)) for column, way in ways)
    return {column: value for column, value in found if value is not _NOTHING}


def _kind(document: Any) -> str:
    from trifold.contract.checked import text

    return text(document)
