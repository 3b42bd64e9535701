"""The stream's commands of the image: consume, and what `helm test` and `trifold dead` run."""

import argparse
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


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run a command; what Trifold refuses is one sentence and an exit code (trifold/exits.py)."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def command() -> None:
        parse(sys.argv[1:] if argv is None else argv)
        consume(environment, stopping)

    return exit_code(command)


if __name__ == "__main__":
    sys.exit(main())
