"""What one server serves: the model, warmed up, with all its documents rendered."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from trifold.answers import Answers
from trifold.contract.profile import LACKS, find
from trifold.errors import ArtifactError
from trifold.metrics import MODEL
from trifold.model import Model
from trifold.online.estimate import Cost
from trifold.packed import ARTIFACT, Packed, read_expected
from trifold.schema import openapi
from trifold.settings import Settings
from trifold.warmup import warm_up

INLINE_SECONDS = 0.01
MOST_INLINE = 1024
NOT_COMPARED = "a comparison of answers beyond the example (with training's rows, or by `trifold check --deep`)"
FEW_ROWS = 16
"""As many at least tell what a row takes apart from what a request takes."""
MOST_START_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class Release:
    """A model that has predicted its own example.

    Attributes:
        model: The loaded model.
        packed: What it says of itself.
        inline_rows: As many rows as are predicted within INLINE_SECONDS.
        cost: What a request is thought to take before any was measured.
        model_json: The body of GET /model.
        docs_json: The body of GET /docs.json.
        samples: Pictures to try, as files.
    """

    model: Model
    packed: Packed
    inline_rows: int
    model_json: bytes
    docs_json: bytes
    samples: tuple[bytes, ...] = ()
    cost: Cost = field(default_factory=Cost)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> "Release":
        """Load a packed model and let it predict its own example.

        Raises:
            TrifoldError: It cannot be loaded, is another than `settings.digest` asks for, or answers its example
                otherwise than plain scikit-learn did at build.
        """
        packed = Packed.read(folder)
        model = Model.load(folder, expected_digest=settings.digest, threads=settings.threads)
        _warm_up(model, packed, read_expected(folder))
        MODEL.info({"name": packed.name, "version": packed.version, "digest": packed.digest, "parity": packed.parity})
        docs = openapi(model.contract, packed, model.labels, {"max_rows": settings.max_rows})
        documents = orjson.dumps(describe(packed)), orjson.dumps(docs)
        times = _time_rows(model, packed)
        quick = [rows for rows, _ in takewhile(lambda timed: timed[1] <= INLINE_SECONDS, times)]
        samples = _samples(model, folder / ARTIFACT)
        return cls(model, packed, max(quick, default=0), *documents, samples, _cost(packed, times))

    def render(self, answers: Answers, **more: Any) -> bytes:
        """The body of an answer; says which version made it, and whatever is to be said besides."""
        return rendered(self.model, self.packed, answers, **more)


def describe(packed: Packed) -> dict[str, Any]:
    """The document of GET /model."""
    contract = packed.contract
    return {
        "name": packed.name,
        "version": packed.version,
        "run_id": packed.run_id,
        "digest": packed.digest,
        "parity": packed.parity,
        "compared": packed.compared,
        "trusted": {"pickle": packed.allow_pickle, "types": packed.trusted},
        "title": packed.title,
        "description": packed.about,
        "signature": {
            name: orjson.loads(contract["signature"].get(name) or "null") for name in ("inputs", "outputs", "params")
        },
        "input_example": packed.input_example,
        "metrics": packed.metrics,
        "profile": contract["profile"],
        "lacks": [*([] if contract["profile"] else LACKS), *([] if packed.compared else [NOT_COMPARED])],
    }


def rendered(model: Model, packed: Packed, answers: Answers, **more: Any) -> bytes:
    """An answer in JSON."""
    return orjson.dumps({"model": packed.name, "version": packed.version} | answers.to_json(model.labels) | more)


def _samples(model: Model, artifact: Path) -> tuple[bytes, ...]:
    """The artifact's sample pictures.

    Raises:
        ArtifactError: One is missing, or the model does not take pictures of the size that its profile says.
    """
    image, tensor = model.contract.image, model.contract.signature.tensor
    if image is None:
        return ()
    if tensor is None or math.prod(tensor.shape) != image.numbers:
        raise ArtifactError(
            f"The profile has an image input of {image.numbers} numbers, not what the signature takes; "
            "log the model again with `trifold.log_model`."
        )
    files = [(sample.file, find(artifact, sample.file)) for sample in image.samples]
    lacking = [name for name, file in files if file is None]
    if lacking:
        raise ArtifactError(f"The artifact lacks its sample pictures {', '.join(lacking)}; log the model again.")
    return tuple(file.read_bytes() for _, file in files if file is not None)


def _warm_up(model: Model, packed: Packed, expected: dict[str, Any]) -> None:
    """Predict the example, and render the answer as every answer will be."""
    answers = warm_up(model, packed, expected)
    try:
        if answers:
            rendered(model, packed, answers)
    except TypeError as error:
        raise ArtifactError(f"The model's answers cannot be written as JSON ({error}); build it again.") from error


def _time_rows(model: Model, packed: Packed) -> list[tuple[int, float]]:
    """Seconds for 1, 2, 4 … rows of the example, until more would hold up probes and start; none without an example."""
    if not packed.input_example:
        return []
    rows = model.contract.check_rows(packed.input_example).rows
    times: list[tuple[int, float]] = []
    for count in (2**power for power in range(MOST_INLINE.bit_length())):
        many = rows.take(np.arange(count) % len(rows))
        start = time.perf_counter()
        model.predict(many)
        times.append((count, time.perf_counter() - start))
        if times[-1][1] > (INLINE_SECONDS if count >= FEW_ROWS else MOST_START_SECONDS):
            break
    return times


def _cost(packed: Packed, times: Sequence[tuple[int, float]]) -> Cost:
    if not times:
        return Cost()
    return Cost.fit(times, len(orjson.dumps(packed.input_example)) / len(packed.input_example))
