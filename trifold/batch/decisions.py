"""Decide on one content for a file where no file can be made only if it is not there: Disk Paxos on names alone.

S3 by way of Arrow has no conditional put, but who lists after a put sees it. That is a disk as in E. Gafni and
L. Lamport, Disk Paxos, Distributed Computing 16 (2003): each process writes what it does where all can read it, and
takes back nothing. What the paper keeps in a block of each process stands in names of objects here, each put once and
with one content, so that a put that is repeated, or arrives after its process gave up, changes nothing.
"""

import random
import time
import uuid
from collections.abc import Callable
from typing import Protocol

from trifold.errors import Unavailable

ASKED, TAKEN, VALUE = "asked", "taken", "value"
TRIES = 30
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0
"""Seconds, of which each who gave way waits some."""


class Names(Protocol):
    """What the protocol asks of a folder."""

    def read(self, name: str) -> bytes | None:
        """A file's content; None if there is no such file."""

    def write(self, name: str, content: bytes) -> None:
        """Make a file."""

    def names(self, name: str = "") -> list[str]:
        """Names of the files in a folder; all that were written before."""


def _wait(attempt: int) -> None:
    time.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)))  # noqa: S311 - no secret


def agree(folder: Names, name: str, content: bytes, wait: Callable[[int], None] = _wait) -> bytes:
    """Make a file, unless others have; gives what it holds, the same to all who ever ask.

    Ballots rise. One is asked for; if a higher one was seen nowhere, then what the highest one before has taken is
    taken (or our own content, if none has), and again, if no higher one was seen, that is the decision. Whoever asks
    for a higher one later finds it, since it was written before we looked.

    Args:
        folder: Where.
        name: The file.
        content: What to write if nobody else has.
        wait: Waits after so many tries in which others were in the way.

    Raises:
        Unavailable: Others were faster all the time.
    """
    found = folder.read(name)
    if found is not None:
        return found
    votes, me = f"{name}.votes", uuid.uuid4().hex
    folder.write(f"{votes}/{VALUE}-{me}", content)
    seen = folder.names(votes)
    for attempt in range(TRIES):
        ballot = f"{_highest(seen) + 1:06d}-{me}"
        folder.write(f"{votes}/{ASKED}-{ballot}", b"1")
        seen = folder.names(votes)
        if _leads(ballot, seen):
            value = _last_taken(seen) or me
            folder.write(f"{votes}/{TAKEN}-{ballot}-{value}", b"1")
            seen = folder.names(votes)
            if _leads(ballot, seen):
                return _settle(folder, name, f"{votes}/{VALUE}-{value}")
        wait(attempt)
        found = folder.read(name)
        if found is not None:
            return found
    raise Unavailable(f"Too many processes want to write {name} at once; start this one again.")


def _settle(folder: Names, name: str, value: str) -> bytes:
    """Tell the decision; all who decide tell the same."""
    content = folder.read(value)
    if content is None:
        raise Unavailable(f"{value} was there and is gone; start this process again.")
    folder.write(name, content)
    return content


def _ballots(kind: str, seen: list[str]) -> list[str]:
    return [each.removeprefix(f"{kind}-") for each in seen if each.startswith(f"{kind}-")]


def _highest(seen: list[str]) -> int:
    return max((int(ballot.partition("-")[0]) for ballot in _ballots(ASKED, seen)), default=0)


def _leads(ballot: str, seen: list[str]) -> bool:
    return max(_ballots(ASKED, seen), default="") == ballot


def _last_taken(seen: list[str]) -> str | None:
    """The value that the highest ballot has taken; None if none has."""
    return max(_ballots(TAKEN, seen), default="").rpartition("-")[2] or None
