"""What the page shows at the moment: kept up to date, and kept where the API is away."""

import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from front_page.api import Api, Unreadable
from front_page.page import render
from front_page.releases import Found, find

OUTDATED_SECONDS = 60
"""From then on a page that could not be renewed says of when it is."""
STUCK_SECONDS = 120
"""From then on without a look something hangs, and the container is started anew."""


@dataclass
class Keeper:
    """Looks at the API, and holds the page: bytes that are replaced whole, so that nobody is served a half.

    Attributes:
        api: Where to look.
        namespace: Namespace of the releases.
        page: What is served; None before the first list.
    """

    api: Api
    namespace: str
    page: bytes | None = None
    _found: Found | None = None
    _of: float = 0.0
    _beat: float = field(default_factory=time.monotonic)
    _failing: bool = False

    def look(self) -> None:
        """Renew the page; where the API gives no list the last one stays."""
        try:
            found = find(self.api, self.namespace)
        except Unreadable as error:
            self._failed(str(error))
        else:
            self._succeeded(found)
        self._beat = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether there was a look of late, be it in vain."""
        return time.monotonic() - self._beat < STUCK_SECONDS

    def _succeeded(self, found: Found) -> None:
        if self._failing or self.page is None:
            say(f"The list of releases can be read; the page shows {len(found.releases)}.")
        if found != self._found or self._failing:
            self.page = _encoded(render(found))
        self._found, self._of, self._failing = found, time.time(), False

    def _failed(self, why: str) -> None:
        if not self._failing:
            stays = "there is no page yet" if self._found is None else "the last page stays"
            say(f"The list of releases cannot be read, {stays}: {why}")
        self._failing = True
        if self._found is not None and time.time() - self._of > OUTDATED_SECONDS:
            self.page = _encoded(render(self._found, datetime.fromtimestamp(self._of, UTC)))


def say(line: str) -> None:
    """Write a line to the container's log."""
    print(" ".join(line.split()), file=sys.stderr, flush=True)


def _encoded(page: str) -> bytes:
    return page.encode("utf-8", "replace")  # JSON can name half a character, which UTF-8 has no bytes for
