"""The Kubernetes API, as far as the front page asks it: lists, with a token, within a time and a size."""

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

AT_ONCE = 25
"""Objects asked for in one answer, so that only few are in memory; the annotations of one may take 256 KiB."""
MOST_BYTES = 10_000_000
MOST_SECONDS = 10.0
WAIT_SECONDS = 3.0
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class Unreadable(Exception):
    """The API did not give a list; the message is a clause that says why."""


@dataclass(frozen=True)
class Api:
    """Where the API is, and what it is asked with.

    Attributes:
        address: http(s)://host:port.
        account: Folder with the files token and ca.crt, read anew for each look, since both are replaced in time.
    """

    address: str
    account: Path

    def connect(self) -> tuple[http.client.HTTPConnection, str]:
        """A connection that is not open yet, and the token.

        Raises:
            OSError: A file of the account is not there.
        """
        where = urlsplit(self.address)
        host, token = where.hostname or "", (self.account / "token").read_text().strip()
        if where.scheme == "http":
            return http.client.HTTPConnection(host, where.port, timeout=WAIT_SECONDS), token
        context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        return http.client.HTTPSConnection(host, where.port, timeout=WAIT_SECONDS, context=context), token


class Look:
    """One look at the API: all its answers share a connection, MOST_BYTES and MOST_SECONDS."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._left = MOST_BYTES
        self._ends = time.monotonic() + MOST_SECONDS

    def objects(self, path: str, selector: str, accept: str = "application/json") -> Iterator[object]:
        """Yield what is listed at a path, page by page.

        Raises:
            Unreadable: The API is not there, refuses, takes too long or says too much.
        """
        try:
            connection, token = self._api.connect()
            with closing(connection):
                headers = {"Authorization": f"Bearer {token}", "Accept": accept}
                query = {"labelSelector": selector, "limit": str(AT_ONCE)}
                while True:
                    document = self._asked(connection, path, query, headers)
                    yield from _entries(document.get("items"))
                    following = _mapping(document.get("metadata")).get("continue")
                    if not isinstance(following, str) or not following:
                        return
                    query["continue"] = following
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise Unreadable(f"{path}: {str(error) or type(error).__name__}") from error

    def _asked(
        self, connection: http.client.HTTPConnection, path: str, query: dict[str, str], headers: dict[str, str]
    ) -> dict[str, object]:
        # http.client follows no redirect and uses no proxy: the token goes to the API and nowhere else.
        connection.request("GET", f"{path}?{urlencode(query)}", headers=headers)
        with connection.getresponse() as answer:
            if answer.status != 200:
                raise Unreadable(f"{path} is answered {answer.status} {answer.reason}")
            document = json.loads(self._read(answer, path))
        if not isinstance(document, dict):
            raise Unreadable(f"{path} gives no object")
        return document

    def _read(self, answer: http.client.HTTPResponse, path: str) -> bytearray:
        pieces = bytearray()
        while piece := answer.read1(65536):
            self._left -= len(piece)
            if self._left < 0:
                raise Unreadable(f"{path} gives more than {MOST_BYTES:,} bytes")
            if time.monotonic() > self._ends:
                raise Unreadable(f"{path} takes more than {MOST_SECONDS:g} s")
            pieces += piece
        return pieces


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _entries(value: object) -> list[object]:
    return value if isinstance(value, list) else []
