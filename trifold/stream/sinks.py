"""Which sink a stream has."""

import socket
from collections.abc import Mapping

from trifold.batch.stores import schema_of
from trifold.model import Model
from trifold.stream.kafka import KafkaSink
from trifold.stream.postgres import PostgresSink
from trifold.stream.sink import Sink
from trifold.stream.stream import KAFKA, Stream
from trifold.versions import Version


def open_sink(
    stream: Stream,
    model: Model,
    version: Version,
    properties: Mapping[str, str],
    environment: Mapping[str, str],
) -> Sink:
    """The sink that the stream names; it connects when it is first used.

    Raises:
        JobError: The environment lacks what it needs.
    """
    if stream.sink == KAFKA:
        return KafkaSink(
            stream, version, model.labels, properties, environment.get("TRIFOLD_POD") or socket.gethostname()
        )
    return PostgresSink(environment.get("TRIFOLD_DATABASE_URI", ""), schema_of(environment), stream, version)
