"""Overlap: an iterable works ahead in a thread of its own while its items are used."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
AHEAD = 2


class _End:
    """What ends a queue: the error that ended the iterable, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def overlapped(items: Iterable[T], ahead: int = AHEAD) -> Iterator[T]:
    """The items in their order, up to `ahead` of them made before they are asked for; memory stays flat.

    Whatever the iterable raises is raised here, after the items before it. When the caller stops early, so does the
    iterable, at its next item.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(item: T | _End) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as raised:  # noqa: BLE001 - it is raised again where the items are used
            error = raised
        finally:
            close = getattr(items, "close", None)
            if close:
                close()
        put(_End(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()
