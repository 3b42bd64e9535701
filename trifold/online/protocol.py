"""uvicorn's HTTP protocol, with limits that it lacks and our form of errors for what is no HTTP.

An answer may come before the body has ended: it is too large, it is none of JSON, there is no such path. uvicorn would
then read what still comes for ever, or, where the answer says `Connection: close`, close at once: the kernel resets the
connection of a client that still sends, and many clients send all before they read. So what still comes is read and
dropped, within limits (RFC 9112, section 9.6).
"""

import asyncio
import functools
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from trifold.errors import Reject
from trifold.online.refusals import errors

MOST_HEAD_BYTES = 65_536
LATE_SECONDS = 2


class Protocol(HttpToolsProtocol):
    """Ends a connection whose headers do not end, and one whose body does not end soon after the answer."""

    most_late_bytes = 2**24
    """Most bytes that are read of a body after its answer."""
    head: int | None = None
    """Bytes of the head that is being read; None between heads."""

    def on_message_begin(self) -> None:
        """See HttpToolsProtocol."""
        self.head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See HttpToolsProtocol."""
        self.head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See HttpToolsProtocol."""
        super().on_message_complete()
        self.cycle.more_body = False  # uvicorn leaves it as it was if the answer came first

    def data_received(self, data: bytes) -> None:
        """See HttpToolsProtocol."""
        super().data_received(data)
        if self.head is not None:
            self.head += len(data)
            if self.head > MOST_HEAD_BYTES:
                self.send_400_response(f"more than {MOST_HEAD_BYTES} bytes of headers")
        elif self.cycle is not None and self.cycle.more_body:
            self._body_goes_on(len(data))

    def send_400_response(self, msg: str) -> None:
        """See HttpToolsProtocol."""
        body = errors([Reject(None, None, "http", "HTTP/1.1", msg)])
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        self.transport.close()

    def on_early_response_complete(self, cycle: RequestResponseCycle, leaves: bool) -> None:
        """Called instead of `on_response_complete` when an answer has been written that began before the body's end.

        Args:
            cycle: The request.
            leaves: The answer says that the connection will be closed.
        """
        if leaves and not cycle.more_body:
            self.transport.close()
        self.on_response_complete()
        if cycle.more_body:
            if leaves:
                self._leave()
            else:
                self.loop.call_later(LATE_SECONDS, self._leave_unless_ended, cycle)

    def _body_goes_on(self, size: int) -> None:
        # uvicorn always makes its own class; a small request, which comes as one piece, is spared what ours costs.
        self.cycle.__class__ = _Unended
        assert isinstance(self.cycle, _Unended)
        if not self.cycle.body and not self.cycle.response_complete:
            self.cycle.around += size
            if self.cycle.around > MOST_HEAD_BYTES:
                self.send_400_response(f"more than {MOST_HEAD_BYTES} bytes of headers around a body")

    def _leave_unless_ended(self, cycle: RequestResponseCycle) -> None:
        if cycle.more_body:
            self._leave()

    def _leave(self) -> None:
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.transport.set_protocol(_Leaving(self))
            self.loop.call_later(LATE_SECONDS, self.transport.close)


class _Unended(RequestResponseCycle):
    """A request whose body did not end with its first piece, so that its answer may come sooner.

    Attributes:
        around: Bytes that came and are none of the body: of chunks' heads, and of trailers, which uvicorn keeps.
    """

    around = 0

    async def send(self, message: Any) -> None:
        """See RequestResponseCycle."""
        if message["type"] != "http.response.start" or not self.more_body or self.transport.is_closing():
            await super().send(message)
            return
        protocol: Any = self.transport.get_protocol()
        if not _ends_soon(self.scope["headers"], protocol.most_late_bytes):
            self.keep_alive = False  # uvicorn says so
        await super().send(message)
        leaves, self.keep_alive = not self.keep_alive, True  # lest uvicorn close at once
        self.on_response = functools.partial(protocol.on_early_response_complete, self, leaves)


class _Leaving(asyncio.Protocol):
    """Drops what comes after the last answer on a connection, until there is too much of it."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._left = protocol.most_late_bytes

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._protocol.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)


def _ends_soon(headers: Iterable[tuple[bytes, bytes]], most: int) -> bool:
    length = dict(headers).get(b"content-length")
    return length is not None and int(length) <= most
