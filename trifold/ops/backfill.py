"""A backfill: many slots, few Jobs at once."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from trifold.ops.job_states import DONE, GONE, RUNNING, Seen
from trifold.ops.jobs import POLL_SECONDS, Following


def work(
    slots: Sequence[datetime],
    begin: Callable[[datetime], Following],
    *,
    at_once: int = 1,
    keep_going: bool = False,
    seconds: float = POLL_SECONDS,
) -> Iterator[tuple[datetime, Seen]]:
    """Do slots in their order, at most so many at once; yields each when it has ended, with how.

    Args:
        slots: The slots.
        begin: Starts one.
        at_once: How many Jobs may be active.
        keep_going: Begin others after one failed.
        seconds: Time between two looks.
    """
    waiting, active = deque(slots), dict[datetime, Following]()
    well = True
    while active or (waiting and (well or keep_going)):
        while waiting and (well or keep_going) and len(active) < at_once:
            slot = waiting.popleft()
            active[slot] = begin(slot)
        time.sleep(seconds)
        for slot, following in list(active.items()):
            seen = following.look()
            if seen.state != RUNNING:
                del active[slot]
                well = well and seen.state in (DONE, GONE)
                yield slot, seen
