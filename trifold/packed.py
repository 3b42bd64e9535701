"""A packed model: the artifact's files beside one JSON that says all the running image has to know.

It is made at build (trifold/ops/packaging.py), so that no running image imports MLflow.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trifold.errors import ArtifactError

INTERFACE = 1
"""Number of the agreement between image and chart; it goes up when either must change with the other."""

FILE = "trifold.json"
EXPECTED_FILE = "expected.json"
ARTIFACT = "artifact"
NATIVE = "native"
NOT_PROVEN = "not proven"


@dataclass(frozen=True)
class Packed:
    """What a packed model says of itself.

    Attributes:
        name: The registered model's name.
        version: Its version in the registry.
        run_id: The MLflow run that made it.
        digest: SHA-256 of the artifact (trifold/digest.py).
        file: The estimator's file, relative to the artifact.
        file_format: "skops", "pickle" or "cloudpickle".
        contract: Signature and profile, as `Contract.to_json` gave them.
        form: What the estimator is given: "frame", "matrix" or "text".
        parity: "native", "block-N" or "not proven".
        blocks: Sizes of blocks that all give the same bits, rising; empty to predict all rows at once.
        input_example: Rows that can be posted as they are.
        code: Folder of the model's own code, relative to the artifact.
        trusted: Types that somebody vouched for by --trust.
        allow_pickle: Whether somebody vouched for the pickle by --allow-pickle.
        metrics: The run's metrics at training.
        description: The registry's description of the version or model.
        compared: With what its answers were compared at build, beyond its example: "with", "rows", "by" (forms in
            which rows were sent), "close" (rows that differ in the last bits), "refused" (rows, by form, or by the one
            side that refuses), perhaps "left_out" (rows that cannot be compared, by reason); None: nothing.
        interface: See INTERFACE.
    """

    name: str
    version: str
    run_id: str
    digest: str
    file: str
    file_format: str
    contract: Mapping[str, Any]
    form: str = "frame"
    parity: str = NOT_PROVEN
    blocks: tuple[int, ...] = ()
    input_example: tuple[Any, ...] = ()
    code: str | None = None
    trusted: tuple[str, ...] = ()
    allow_pickle: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    description: str = ""
    compared: Mapping[str, Any] | None = None
    interface: int = INTERFACE

    @property
    def profile(self) -> Mapping[str, Any]:
        """The profile, as JSON values; empty for a model logged without one."""
        return self.contract.get("profile") or {}

    @property
    def title(self) -> str:
        """What people call it: as its profile says, or else its name."""
        return self.profile.get("title") or self.name

    @property
    def about(self) -> str:
        """What it answers, in a sentence or two: as its profile says, or else the registry."""
        return self.profile.get("description") or self.description

    def write(self, folder: Path) -> None:
        """Write the JSON beside the artifact."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Packed":
        """Read what `write` wrote.

        Raises:
            ArtifactError: The folder holds no packed model, or one of another interface number.
        """
        try:
            document = dict(json.loads((folder / FILE).read_text()))
            found = document["interface"]
            tuples = {name: tuple(document[name]) for name in ("blocks", "input_example", "trusted")}
            if found == INTERFACE:
                return cls(**{**document, **tuples})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no packed model ({error}); make one with `trifold build`.") from error
        raise ArtifactError(f"The packed model has interface {found}, this Trifold has {INTERFACE}; build it again.")


def read_expected(folder: Path) -> dict[str, Any]:
    """The answers to the input example that plain scikit-learn gave at build.

    Raises:
        ArtifactError: They are missing or damaged.
    """
    try:
        return dict(json.loads((folder / EXPECTED_FILE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"The expected answers cannot be read ({error}); build the model again.") from error
