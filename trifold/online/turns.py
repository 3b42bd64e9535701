"""Short work in the event loop: in the order in which it came, for some milliseconds a turn of the loop."""

import asyncio
import functools
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

TURN_SECONDS = 0.005
"""In a turn; then the loop looks at its sockets, where new connections and probes wait."""
T = TypeVar("T")
_Outcome = Callable[[], T]
"""Gives what work gave, or raises what it raised."""


class Turns:
    """Does short work at once where the loop was not just used for long, and else in a later turn."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[_Outcome[Any]]]] = deque()
        self._spent = 0.0

    @property
    def free(self) -> bool:
        """Whether work may be done at once."""
        return not self._waiting and self._spent < TURN_SECONDS

    def work(self, task: Callable[[], T]) -> T:
        """Do it at once."""
        start = time.perf_counter()
        if not self._spent:
            asyncio.get_running_loop().call_soon(self._begin)
        try:
            return task()
        finally:
            self._spent += time.perf_counter() - start

    async def wait(self, task: Callable[[], T]) -> T:
        """Do it when all is done that waits already; only while a turn is under way, as `free` says."""
        future: asyncio.Future[_Outcome[T]] = asyncio.get_running_loop().create_future()
        self._waiting.append((task, future))
        return (await future)()

    def _begin(self) -> None:
        self._spent = 0.0
        while self._waiting and self._spent < TURN_SECONDS:
            task, future = self._waiting.popleft()
            if not future.done():
                self.work(functools.partial(_settle, task, future))


def _settle(task: Callable[[], T], future: asyncio.Future["_Outcome[T]"]) -> None:
    try:
        done = task()
    except Exception as error:  # noqa: BLE001 - it is raised where it is awaited; a future itself takes no StopIteration
        future.set_result(functools.partial(_raise, error))
    else:
        future.set_result(lambda: done)


def _raise(error: Exception) -> NoReturn:
    raise error
