"""How much may wait and be held at once: one count for all routes of a server that predict."""

import asyncio
import functools
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from starlette.types import Message, Receive

from trifold import metrics
from trifold.online.refusals import ClientGone, Refused
from trifold.settings import Settings

TURN_SECONDS = 0.005
T = TypeVar("T")


class Admission:
    """Lets requests in as long as a server can hold them.

    Attributes:
        settings: Its limits.
        executor: The one thread that predicts what is not predicted in the event loop.
    """

    def __init__(self, settings: Settings, executor: Executor) -> None:
        self.settings = settings
        self.executor = executor
        self._waiting = 0
        self._held = 0
        self._spent = 0.0

    async def turn(self) -> None:
        """Wait, where the event loop was just used for long, until it has looked at its sockets.

        New connections and probes wait there.

        Raises:
            Refused: Too many wait here.
        """
        if self._spent < TURN_SECONDS:
            return
        with self.place():
            while self._spent >= TURN_SECONDS:
                await asyncio.sleep(0)

    def inline(self, work: Callable[[], T]) -> T:
        """Do short work in the event loop; what it takes counts for `turn`."""
        start = time.perf_counter()
        if not self._spent:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        done = work()
        self._spent += time.perf_counter() - start
        return done

    async def apart(self, work: Callable[[], T]) -> T:
        """Do long work in the one thread that does, so that the probes are answered meanwhile.

        Raises:
            Refused: Too many wait for it.
        """
        with self.place():
            run = functools.partial(_without_collection, work)
            return await asyncio.get_running_loop().run_in_executor(self.executor, run)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those that wait for the model.

        Raises:
            Refused: There is none.
        """
        if self._waiting >= self.settings.max_waiting:
            raise Refused(503, "busy", f"at most {self.settings.max_waiting} waiting requests", "one more")
        self._waiting += 1
        metrics.WAITING.set(self._waiting)
        try:
            yield
        finally:
            self._waiting -= 1
            metrics.WAITING.set(self._waiting)

    @asynccontextmanager
    async def body(self, receive: Receive, most: int, first: Message | None = None) -> AsyncIterator[bytes]:
        """A body that is large or comes in pieces; it counts as held as long as the context lasts.

        Args:
            receive: Gives the pieces.
            most: Most bytes.
            first: A piece that was received already.

        Raises:
            Refused: There are too many bytes, of this body or of all, or they take too long.
            ClientGone: No more will come.
        """
        pieces: list[bytes] = []
        try:
            await self._collect(receive, most, first, pieces)
            pieces[:] = [b"".join(pieces)]
            yield pieces[0]
        finally:
            self._held -= sum(map(len, pieces))

    async def _collect(self, receive: Receive, most: int, message: Message | None, pieces: list[bytes]) -> None:
        size, held = 0, self.settings.max_held_bytes
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                message = message or await receive()
                while message["type"] != "http.disconnect":
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    self._held += len(pieces[-1])
                    if size > most:
                        raise Refused(413, "too_large", f"at most {most} bytes", "more")
                    if self._held > held:
                        raise Refused(503, "busy", f"at most {held} bytes at once", "more")
                    if not message.get("more_body"):
                        return
                    message = await receive()
        except TimeoutError:
            seconds = self.settings.body_seconds
            raise Refused(408, "too_slow", f"the whole body within {seconds} s", "a part of it") from None
        raise ClientGone

    def _begin_turn(self) -> None:
        self._spent = 0.0


def _without_collection(work: Callable[[], T]) -> T:
    # The garbage collector would hold up all threads for seconds to find that none of a million lists is garbage.
    gc.disable()
    try:
        return work()
    finally:
        gc.enable()
