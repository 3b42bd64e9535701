"""How much may wait and be held at once: one count for all routes of a server that predict.

A request is told to come back where as many wait as may, or where what waits before it would by estimate take longer
than a second, or than its client waits. Work in the event loop and work in the thread are two queues: they share a
core, so neither has to be done before the other, and what they take of each other is measured.
"""

import asyncio
import functools
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from starlette.types import Message, Receive

from trifold import metrics
from trifold.online.demand import Demand, busy
from trifold.online.estimate import Cost, Pace, Queue, Ticket
from trifold.online.refusals import ClientGone, Refused
from trifold.online.turns import Turns
from trifold.settings import Settings

SMALL_BYTES = 65_536
"""A body up to here that comes as one piece is not held before it is known that it has to wait."""
LEAST_PAUSE, MOST_PAUSE = 0.001, 0.01
"""Seconds between two refusals, where many are."""
MOST_DELAY = 0.5
"""Seconds that a refusal is delayed."""
T = TypeVar("T")


class Admission:
    """Lets requests in as long as a server can hold them, and answer them in time.

    Attributes:
        settings: Its limits.
        executor: The one thread that predicts what is not predicted in the event loop.
        clock: What tells the time of requests.
    """

    def __init__(
        self, settings: Settings, executor: Executor, *, cost: Cost, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.settings = settings
        self.executor = executor
        self.clock = clock
        self._turns = Turns()
        self._queues = self._inline, self._apart = Queue(Pace(cost)), Queue(Pace(cost))
        self._held = self._held_small = 0
        self._last_refusal = -1.0

    async def inline(self, demand: Demand, size: int, work: Callable[[], T]) -> T:
        """Do short work for a body of a size in the event loop, at once or in its turn.

        Raises:
            Refused: Too much waits for that.
        """
        if self._turns.free:
            start = self.clock()
            done = self._turns.work(work)
            self._inline.pace.learn((demand.route, size.bit_length()), self.clock() - start)
            return done
        with self._place(self._inline, demand, size) as ticket:
            return await self._turns.wait(functools.partial(self._serve, ticket, demand, work))

    async def apart(self, demand: Demand, size: int, work: Callable[[], T]) -> T:
        """Do long work in the one thread that does, so that the probes are answered meanwhile.

        Raises:
            Refused: Too much waits for it.
        """
        with self.place(demand, size) as ticket:
            return await self.step(demand, ticket, work)

    def place(self, demand: Demand, size: int) -> AbstractContextManager[Ticket]:
        """A place among those that wait for the thread, for a body of a size.

        Raises:
            Refused: There is none.
        """
        return self._place(self._apart, demand, size)

    async def step(self, demand: Demand, ticket: Ticket, work: Callable[[], T]) -> T:
        """Do a part of what has a place, in the thread.

        Raises:
            Refused: The client's time is over before it could be begun.
        """

        def begin() -> T:
            self._begin(ticket, demand)
            return _without_collection(work)

        return await asyncio.get_running_loop().run_in_executor(self.executor, begin)

    async def delay_refusal(self) -> None:
        """Wait before a request is told to come back, and only where many are told so: about as many as are served.

        Clients that ask again at once would else take most of the processor's time from those that wait.
        """
        now = self.clock()
        served = max((queue.seconds(now) / len(queue) for queue in self._queues if queue), default=0.0)
        pause = min(max(served, LEAST_PAUSE), MOST_PAUSE)
        self._last_refusal = min(max(now, self._last_refusal + pause), now + MOST_DELAY)
        if self._last_refusal > now:
            await asyncio.sleep(self._last_refusal - now)

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
                        raise self._full(f"at most {held} bytes at once", "more")
                    if not message.get("more_body"):
                        return
                    message = await receive()
        except TimeoutError:
            seconds = self.settings.body_seconds
            raise Refused(408, "too_slow", f"the whole body within {seconds} s", "a part of it") from None
        raise ClientGone

    @contextmanager
    def _place(self, queue: Queue, demand: Demand, size: int) -> Iterator[Ticket]:
        small = size if size <= SMALL_BYTES else 0
        self._require_room(queue, demand, small)
        ticket = queue.enter((demand.route, size.bit_length()), self.clock())
        self._held_small += small
        metrics.WAITING.set(self._waiting)
        try:
            yield ticket
        finally:
            queue.leave(ticket, self.clock())
            self._held_small -= small
            metrics.WAITING.set(self._waiting)

    def _require_room(self, queue: Queue, demand: Demand, small: int) -> None:
        now, settings = self.clock(), self.settings
        demand.require_time(now)
        if self._waiting >= settings.max_waiting:
            raise self._full(f"at most {settings.max_waiting} waiting requests", "one more")
        # Apart from large bodies, so that slow uploads take no room from small requests.
        if self._held_small + small > settings.max_held_bytes:
            raise self._full(f"at most {settings.max_held_bytes} bytes that wait", "more")
        seconds, patience = queue.seconds(now), demand.patience(now)
        if seconds > patience:
            raise busy(f"a wait of at most {patience:.3g} s", f"one of about {seconds:.3g} s", seconds - patience)

    def _full(self, expected: str, got: str) -> Refused:
        """The refusal of what has room when the next that waits is done."""
        now = self.clock()
        return busy(expected, got, min((queue.first_seconds(now) for queue in self._queues if queue), default=0))

    @property
    def _waiting(self) -> int:
        return sum(map(len, self._queues))

    def _serve(self, ticket: Ticket, demand: Demand, work: Callable[[], T]) -> T:
        """Do what waited in the event loop; its place is free at once, not only when its client's task goes on."""
        self._begin(ticket, demand)
        try:
            return work()
        finally:
            self._inline.leave(ticket, self.clock())

    def _begin(self, ticket: Ticket, demand: Demand) -> None:
        demand.require_time(self.clock())
        ticket.begun = True


def _without_collection(work: Callable[[], T]) -> T:
    # The garbage collector would hold up all threads for seconds to find that none of a million lists is garbage.
    gc.disable()
    try:
        return work()
    finally:
        gc.enable()
