"""Which sink a stream has."""

from collections.abc import Mapping

from trifold.batch.stores import schema_of
from trifold.stream.postgres import PostgresSink
from trifold.stream.sink import Sink
from trifold.stream.stream import Stream
from trifold.versions import Version


def open_sink(stream: Stream, version: Version, properties: Mapping[str, str], environment: Mapping[str, str]) -> Sink:
    """The sink that the stream names; it connects when it is first used.

    Raises:
        JobError: The environment lacks what it needs.
    """
    return PostgresSink(environment.get("TRIFOLD_DATABASE_URI", ""), schema_of(environment), stream, version)
