"""Run the command of each mode in the model's own environment, as far as it goes without a cluster.

Runs as `python -m trifold.ops.mode_probe MODE…` and imports at once all that the modes' commands import, so that the
caller can start it early; then it reads a packed model's folder on standard input, lets each mode answer the model's
example through its own code, and prints a line of JSON a mode.
"""

import asyncio
import functools
import gc
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trifold.errors import TrifoldError, first_line

Doors = dict[str, dict[str, Any]]
"""By the form in which rows were sent: how the answers compare with the estimator's own (trifold/ops/oracle.py)."""
JOB = {
    "name": "check", "schedule": "* * * * *", "timeZone": "Etc/UTC", "key": "trifold_row", "keep": [], "shards": 1,
    "maxRejectRate": 0.0, "catchUp": 0, "source": {"query": "", "files": "file:///none/*"},
    "report": {"top": 0, "history": ""}, "retentionDays": {"rejects": 0, "inputs": 0, "predictions": 0},
}  # fmt: skip
STREAM = {
    "topic": "check", "where": {}, "fields": {}, "keep": [], "sink": "kafka", "output": "", "startAt": "earliest",
    "maxEvents": 1000, "maxDelayMs": 100, "maxEventBytes": 2**30, "maxRetries": 1,
    "createTopics": {"enabled": False, "partitions": 1, "replicationFactor": 1},
    "retentionDays": {"predictions": 0, "deadLetters": 0},
}  # fmt: skip


def import_online() -> None:
    """Import what `python -m trifold.online.server` does, Bento and all."""
    from trifold.online import server

    server.import_pandas()
    import uvicorn  # noqa: F401

    import service  # noqa: F401
    from trifold.online import drain, protocol, release, verify  # noqa: F401


def import_batch() -> None:
    """Import what `cronjobs/score.py` and `python -m trifold.batch` do, whichever store a job has."""
    import adbc_driver_manager
    from adbc_driver_postgresql import dbapi

    from trifold.batch import __main__, files, postgres, score  # noqa: F401

    with suppress(adbc_driver_manager.OperationalError):  # nobody is there, but the driver's own library was loaded
        dbapi.connect("postgresql:///none?host=/nonexistent")


def import_stream() -> None:
    """Import what `python -m trifold.stream` does, whichever sink a stream has."""
    from trifold.stream import __main__, consumer, letters, sinks, state, verify  # noqa: F401


def answer_online(folder: Path) -> Doors:
    """Let the server's app answer POST /predict, and the original rows in each form.

    Raises:
        TrifoldError: It cannot, or answers otherwise than plain scikit-learn.
    """
    import service
    from trifold.online import server
    from trifold.online.verify import read_answers
    from trifold.packed import Packed
    from trifold.settings import Settings

    server.load(Settings(model=folder))
    gc.unfreeze()
    body = json.dumps({"rows": Packed.read(folder).input_example}).encode()
    post = functools.partial(_post, service.application)
    status, said = post("/predict", "application/json", body)
    if status != 200:
        raise TrifoldError(f"POST /predict answers {status}: {said[:200].decode(errors='replace')}")
    _require_same(read_answers(json.loads(said)), folder)
    if not _has_originals(folder):
        return {}
    from trifold.ops.oracle_probe import compare_online, read_originals  # by Arrow, which a server does without

    return compare_online(post, service.application.state.release.model, read_originals(folder))


def answer_batch(folder: Path) -> Doors:
    """Score the example with a sink of files, as `python -m trifold.batch verify` does, and the original rows.

    Raises:
        TrifoldError: It cannot be scored, or has other answers than plain scikit-learn's.
    """
    from trifold.batch.job import Job
    from trifold.batch.verify import verify
    from trifold.ops.oracle_probe import compare_batch, read_originals
    from trifold.settings import Settings
    from trifold.versions import load

    with tempfile.TemporaryDirectory() as scratch:
        job = Job.from_json({**JOB, "sink": {"files": Path(scratch).as_uri()}})
        verify([job], {"TRIFOLD_MODEL": str(folder)})
    if not _has_originals(folder):
        return {}
    return compare_batch(load(folder, Settings(model=folder))[0], folder, read_originals(folder), JOB)


def answer_stream(folder: Path) -> Doors:
    """Score the example as events, and write the answers as the kafka sink does; and the original rows.

    Raises:
        TrifoldError: It cannot be scored, or has other answers than plain scikit-learn's.
    """
    from trifold.ops.oracle_probe import compare_stream, read_originals
    from trifold.packed import Packed
    from trifold.settings import Settings
    from trifold.stream.kafka import values
    from trifold.stream.scored import score
    from trifold.stream.stream import Stream
    from trifold.stream.verify import events
    from trifold.versions import load

    model, _ = load(folder, Settings(model=folder))
    stream = Stream.from_json(STREAM, "check", "check")

    def score_events(given: Iterable[bytes]) -> Any:
        return score([_Message(number, event) for number, event in enumerate(given)], {}, stream, model)

    scored = score_events(events(model, Packed.read(folder), stream))
    if scored.dead:
        raise TrifoldError(
            f"the example's event {scored.dead[0].position} is a dead letter: {scored.dead[0].rejects[0]}"
        )
    _require_same(scored.answers, folder)
    values(scored.answers, model.labels, scored.documents, ())
    if not _has_originals(folder):
        return {}
    return compare_stream(model, read_originals(folder), score_events)


class _Message:
    """An event as confluent-kafka gives it."""

    def __init__(self, number: int, event: bytes) -> None:
        self._number, self._event = number, event

    def value(self) -> bytes:
        return self._event

    def key(self) -> None:
        return None

    def headers(self) -> list[tuple[str, bytes]]:
        return []

    def topic(self) -> str:
        return str(STREAM["topic"])

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._number

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


MODES: Mapping[str, tuple[Callable[[], None], Callable[[Path], Doors]]] = {
    "online": (import_online, answer_online),
    "batch": (import_batch, answer_batch),
    "stream": (import_stream, answer_stream),
}


def _has_originals(folder: Path) -> bool:
    """Whether training kept rows as they were."""
    from trifold.ops.expected import ORIGINALS
    from trifold.packed import ARTIFACT

    return (folder / ARTIFACT / ORIGINALS).is_file()


def _post(app: Any, path: str, media: str, body: bytes) -> tuple[int, bytes]:
    """Ask an ASGI app in a loop of its own."""
    return asyncio.run(_ask(app, path, media, body))


async def _ask(app: Any, path: str, media: str, body: bytes) -> tuple[int, bytes]:
    """Ask an ASGI app, started and ended around the one request."""
    sent: list[dict[str, Any]] = []
    received = iter([{"type": "http.request", "body": body, "more_body": False}])
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1), "headers": [(b"content-type", media.encode())],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return next(received, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def _require_same(answers: Any, folder: Path) -> None:
    from trifold.answers import agrees
    from trifold.packed import read_expected

    if not agrees(answers, read_expected(folder)):
        raise TrifoldError("it answers the example otherwise than plain scikit-learn")


def _attempt(step: Callable[..., Doors | None], *arguments: Path) -> tuple[str | None, Doors]:
    """What a step raised, in a line, or None; and what it compared."""
    try:
        return None, step(*arguments) or {}
    except TrifoldError as error:
        return str(error), {}
    except Exception as error:  # noqa: BLE001 - whatever it is, the mode does not work, and that is said
        return f"{type(error).__name__}: {first_line(error)}", {}


def main(modes: Sequence[str]) -> int:
    """0, with a line of JSON before each step, so that it is known where it crashed, and one after each mode."""
    failures: dict[str, str | None] = {}
    for mode in modes:
        _say(mode, step="import")
        failures[mode], _ = _attempt(MODES[mode][0])
    folder = Path(sys.stdin.readline().rstrip("\n"))
    for mode in modes:
        if failures[mode]:
            _say(mode, step="import", failure=failures[mode])
            continue
        _say(mode, step="answer")
        failure, doors = _attempt(MODES[mode][1], folder)
        _say(mode, step="answer", failure=failure, doors=doors)
    return 0


def _say(mode: str, **more: Any) -> None:
    print(json.dumps({"mode": mode, **more}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
