"""Ask a running release: does it serve the expected model, and answer the model's example as plain scikit-learn did?

`helm test` runs it in the release's own image, which holds the example and its expected answers.

Usage: python -m trifold.online.verify http://churn-online
"""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trifold import bento
from trifold.answers import Answers, agrees
from trifold.errors import ServeError, TrifoldError
from trifold.packed import Packed, read_expected
from trifold.settings import Settings

REACH_SECONDS = 30
"""A network policy or a Service may take a moment until it lets this pod through; a wrong answer is not asked again."""
ANSWER_SECONDS = 60


def verify(address: str, folder: Path, digest: str | None = None) -> str:
    """Compare a server with a packed model; gives a sentence that says what was found.

    Args:
        address: The server's, such as http://churn-online.
        folder: The packed model.
        digest: What the deployment asks for; None: what the packed model says of itself.

    Raises:
        ServeError: It cannot be reached, serves another model, or answers the example otherwise.
    """
    packed = Packed.read(folder)
    found = _ask(address, "/model")
    wanted = {"name": packed.name, "version": packed.version, "digest": digest or packed.digest}
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ServeError(f"{address} serves {name} {found.get(name)!r}; expected {value!r}.")
    if not packed.input_example:
        return f"{address} serves {packed.name} version {packed.version}, which has no example to compare"
    said = _ask(address, "/predict", {"rows": packed.input_example})
    if not agrees(read_answers(said), read_expected(folder)):
        raise ServeError(f"{address} answers the model's example otherwise than plain scikit-learn did at build.")
    count = len(packed.input_example)
    return f"{address} serves {packed.name} version {packed.version} and answers its example ({count} rows) as at build"


def read_answers(document: Mapping[str, Any]) -> Answers:
    """The answers that a body of /predict holds."""
    rows = document.get("probabilities")
    if rows is None:
        return Answers(np.asarray(document["predictions"]))
    outputs = [[outputs] if isinstance(outputs, dict) else outputs for outputs in rows]
    arrays = tuple(np.asarray([list(row.values()) for row in output]) for output in zip(*outputs, strict=True))
    return Answers(np.asarray(document["predictions"]), arrays)


def _ask(address: str, path: str, document: Any = None) -> dict[str, Any]:
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(address.rstrip("/") + path, body, {"Content-Type": "application/json"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    ends = time.monotonic() + REACH_SECONDS
    while True:
        try:
            with opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            said = error.read(300).decode(errors="replace")
            raise ServeError(f"{address}{path} answers {error.code}: {said}") from error
        except OSError as error:
            if time.monotonic() > ends:
                raise ServeError(f"{address} cannot be reached ({error}).") from error
            time.sleep(0.5)


def main() -> int:
    """0 with a sentence if all is as expected, else 1 with one that says what is not."""
    try:
        settings = Settings.from_environment()
        print(verify(sys.argv[1], settings.model or bento.packed_model(), settings.digest))
    except TrifoldError as error:
        print(f"trifold: {error}", file=sys.stderr)
        return 1
    except IndexError:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
