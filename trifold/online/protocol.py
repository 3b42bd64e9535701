"""uvicorn's HTTP protocol, with a limit that httptools lacks and our form of errors for what is no HTTP."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trifold.errors import Reject
from trifold.online.app import errors

MOST_HEAD_BYTES = 65_536


class Protocol(HttpToolsProtocol):
    """Ends a connection whose headers do not end; without it, one client could fill the memory."""

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

    def data_received(self, data: bytes) -> None:
        """See HttpToolsProtocol."""
        super().data_received(data)
        if self.head is not None:
            self.head += len(data)
            if self.head > MOST_HEAD_BYTES:
                self.send_400_response(f"more than {MOST_HEAD_BYTES} bytes of headers")

    def send_400_response(self, msg: str) -> None:
        """See HttpToolsProtocol."""
        body = errors([Reject(None, None, "http", "HTTP/1.1", msg)])
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        self.transport.close()
