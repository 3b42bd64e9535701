"""Exit codes of the image's commands, and the one sentence beside them."""

import sys
from collections.abc import Callable, Mapping

from trifold.errors import (
    ColumnsMissing,
    ColumnsRepeated,
    InputRefused,
    JobError,
    SlotCommitted,
    TrifoldError,
    Unavailable,
)

USAGE, DATA, FAILURE, CANNOT_CREATE, TRY_AGAIN, CONFIGURATION, TERMINATED = 64, 65, 70, 73, 75, 78, 143
"""Exit codes; the names and numbers of sysexits.h, and of a process that ended at SIGTERM. The chart's podFailurePolicy
is made for them."""
CODES: Mapping[type[TrifoldError], int] = {
    ColumnsMissing: DATA,
    ColumnsRepeated: DATA,
    InputRefused: DATA,
    JobError: CONFIGURATION,
    SlotCommitted: CANNOT_CREATE,
    Unavailable: TRY_AGAIN,
}


def exit_code(command: Callable[[], None]) -> int:
    """Run a command of the image; what Trifold refuses is one sentence and its exit code."""
    try:
        command()
    except TrifoldError as error:
        print(f"trifold: {error}", file=sys.stderr, flush=True)
        return CODES.get(type(error), FAILURE)
    except SystemExit as ended:
        return USAGE if ended.code else 0
    return 0
