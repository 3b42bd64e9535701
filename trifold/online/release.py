"""What one server serves: the model, warmed up, with all its documents rendered."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from trifold.answers import Answers, agrees
from trifold.errors import ArtifactError
from trifold.metrics import MODEL
from trifold.model import Model
from trifold.packed import Packed, read_expected
from trifold.profile import LACKS
from trifold.schema import openapi
from trifold.settings import Settings

INLINE_SECONDS = 0.01
MOST_INLINE = 1024


@dataclass(frozen=True, eq=False)
class Release:
    """A model that has predicted its own example.

    Attributes:
        model: The loaded model.
        packed: What it says of itself.
        inline_rows: As many rows as are predicted within INLINE_SECONDS.
        model_json: The body of GET /model.
        docs_json: The body of GET /docs.json.
    """

    model: Model
    packed: Packed
    inline_rows: int
    model_json: bytes
    docs_json: bytes

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> "Release":
        """Load a packed model and let it predict its own example.

        Raises:
            TrifoldError: It cannot be loaded, is another than `settings.digest` asks for, or answers its example
                otherwise than plain scikit-learn did at build.
        """
        packed = Packed.read(folder)
        model = Model.load(folder, expected_digest=settings.digest, threads=settings.threads)
        warm_up(model, packed, read_expected(folder))
        MODEL.info({"name": packed.name, "version": packed.version, "digest": packed.digest, "parity": packed.parity})
        docs = openapi(model.contract, packed, model.labels, {"max_rows": settings.max_rows})
        return cls(model, packed, _inline_rows(model, packed), orjson.dumps(describe(packed)), orjson.dumps(docs))

    def render(self, answers: Answers) -> bytes:
        """The body of an answer; says which version made it."""
        return rendered(self.model, self.packed, answers)


def describe(packed: Packed) -> dict[str, Any]:
    """The document of GET /model."""
    contract = packed.contract
    return {
        "name": packed.name,
        "version": packed.version,
        "run_id": packed.run_id,
        "digest": packed.digest,
        "parity": packed.parity,
        "trusted": {"pickle": packed.allow_pickle, "types": packed.trusted},
        "description": packed.description,
        "signature": {
            name: orjson.loads(contract["signature"].get(name) or "null") for name in ("inputs", "outputs", "params")
        },
        "input_example": packed.input_example,
        "metrics": packed.metrics,
        "profile": contract["profile"],
        "lacks": [] if contract["profile"] else list(LACKS),
    }


def rendered(model: Model, packed: Packed, answers: Answers) -> bytes:
    """An answer in JSON."""
    return orjson.dumps({"model": packed.name, "version": packed.version} | answers.to_json(model.labels))


def warm_up(model: Model, packed: Packed, expected: dict[str, Any]) -> None:
    """Predict the input example and compare with what plain scikit-learn answered at build.

    Raises:
        ArtifactError: The answers differ, or there are none.
    """
    if not packed.input_example:
        return
    checked = model.contract.check_rows(packed.input_example)
    if checked.rejects:
        raise ArtifactError(f"The model's contract refuses its own input example: {checked.rejects[0]}.")
    try:
        answers = model.predict(checked.rows)
        same = agrees(answers, expected)
        rendered(model, packed, answers)
    except Exception as error:
        # Whatever the model raises here it would raise for each request.
        raise ArtifactError(f"The model cannot predict its own input example ({error}); build it again.") from error
    if not same:
        raise ArtifactError(
            "The model answers its own input example otherwise than at build; build it again on this kind of machine."
        )


def _inline_rows(model: Model, packed: Packed) -> int:
    """How many rows may be predicted in the event loop without holding up the probes for long; 0: not even one."""
    if not packed.input_example:
        return 0
    rows = model.contract.check_rows(packed.input_example).rows
    inline, count = 0, 1
    while count <= MOST_INLINE:
        many = rows.take(np.arange(count) % len(rows))
        start = time.perf_counter()
        model.predict(many)
        if time.perf_counter() - start > INLINE_SECONDS:
            break
        inline, count = count, count * 2
    return inline
