"""The stream's commands of the image: consume, and what `helm test`, `trifold dead` and `trifold status` run."""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from trifold.exits import exit_code


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m trifold.stream", description="Consume a topic, as TRIFOLD_STREAM says, until SIGTERM."
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("state", help="print what the consumer of this pod says of itself, as JSON")
    commands.add_parser("verify", help="score the model's example through a topic of its own, and compare")
    dead = commands.add_parser("dead", help="dead letters, as JSON").add_subparsers(dest="action", required=True)
    listed = dead.add_parser("list", help="print the newest")
    listed.add_argument("--limit", type=int, default=20)
    show = dead.add_parser("show", help="print one, with its bytes")
    show.add_argument("position", help="topic/partition/offset")
    dead.add_parser("redrive", help="send all that wait back to be scored")
    return parser.parse_args(argv)


def consume(environment: Mapping[str, str], stopping: threading.Event) -> None:
    """Consume until asked to stop.

    Raises:
        TrifoldError: It cannot.
    """
    from trifold import bento
    from trifold.errors import JobError
    from trifold.metrics import MODEL
    from trifold.packed import Packed
    from trifold.settings import Settings
    from trifold.stream import client
    from trifold.stream.consumer import Consumer
    from trifold.stream.sinks import open_sink
    from trifold.stream.state import State, serve
    from trifold.stream.stream import Stream
    from trifold.versions import load

    settings, stream = Settings.from_environment(environment), Stream.from_environment(environment)
    folder = settings.model or bento.packed_model()
    packed = Packed.read(folder)
    about = {"release": stream.release, "group": stream.group, "topic": stream.topic, "sink": stream.sink}
    state = State({**about, "model": packed.name, "version": packed.version})
    try:
        server = serve(state, settings.host, settings.port)
    except OSError as error:
        raise JobError(f"Cannot listen on port {settings.port} ({error.strerror}); set TRIFOLD_PORT.") from None
    print(f"{packed.name} version {packed.version} consumes {stream.topic} as {stream.group}", flush=True)
    model, version = load(folder, settings)
    MODEL.info({"name": packed.name, "version": packed.version, "digest": packed.digest})
    properties = client.properties(environment)
    sink = open_sink(stream, model, version, properties, environment)
    try:
        Consumer(stream, model, sink, properties, state).run(stopping)
    finally:
        server.shutdown()


def _consume(_: argparse.Namespace, environment: Mapping[str, str]) -> None:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    consume(environment, stopping)


def _state(_: argparse.Namespace, environment: Mapping[str, str]) -> None:
    from trifold.settings import Settings
    from trifold.stream.state import fetch

    print(fetch(Settings.from_environment(environment).port), flush=True)


def _verify(_: argparse.Namespace, environment: Mapping[str, str]) -> None:
    from trifold.stream.verify import verify

    print(verify(environment), flush=True)


def _dead(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    from trifold.stream.letters import open_letters
    from trifold.stream.stream import Stream

    letters = open_letters(Stream.from_environment(environment), environment)
    if options.action == "redrive":
        said: object = {"redriven": letters.redrive()}
    elif options.action == "show":
        said = letters.at(options.position).to_json()
    else:
        said = {"letters": [letter.to_json() for letter in letters.listed(options.limit)]}
    print(json.dumps(said), flush=True)


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run a command; what Trifold refuses is one sentence and an exit code (trifold/exits.py)."""
    commands = {None: _consume, "state": _state, "verify": _verify, "dead": _dead}

    def command() -> None:
        options = parse(sys.argv[1:] if argv is None else argv)
        commands[options.command](options, environment)

    return exit_code(command)


if __name__ == "__main__":
    sys.exit(main())
