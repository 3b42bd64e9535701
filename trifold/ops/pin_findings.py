"""What check says of an artifact's packages: which are locked, and where that is a guess."""

from collections.abc import Mapping

from trifold.errors import ArtifactError, RequirementsConflict
from trifold.ops import pins, requirements
from trifold.ops.artifact import SKOPS, Artifact
from trifold.ops.findings import NO, WARN, YES, Report
from trifold.ops.pins import Pins

MOST = 5
"""Packages that are named; a conda environment has hundreds."""


def read_pins(report: Report, artifact: Artifact) -> Pins | None:
    """The pins of an artifact; what cannot be read of them is added to the report."""
    try:
        found = pins.read(artifact.folder, artifact.flavors)
    except ArtifactError as error:
        report.add("requirements", NO, str(error), report.log_again)
        return None
    report.extras = found.extras
    return found


def look_at_requirements(report: Report, artifact: Artifact, found: Pins) -> None:
    """Lock the pinned packages with the server's, and add to the report what is taken and what is only guessed."""
    try:
        report.lock = requirements.lock(
            requirements.of_model(found.texts),
            constraints=found.constraints,
            sources={line.text: line.source for line in found.lines},
        )
    except RequirementsConflict as error:
        report.add("requirements", NO, str(error), report.log_again)
        return
    versions = requirements.locked(report.lock)
    names = ", ".join(f"{name} {versions[name]}" for name in pins.OF_ANSWERS if name in versions)
    says = f"{names}; {len(versions)} packages locked, the model's and the server's together"
    report.add("requirements", YES, says)
    tell_of_pins(report, found, versions)
    other_python = found.python and not f"{found.python}.".startswith(f"{requirements.IMAGE_PYTHON}.")
    if other_python and artifact.file_format != SKOPS:
        says = f"logged by Python {found.python}, the image has {requirements.IMAGE_PYTHON}; a pickle may not load"
        report.add("python", WARN, says, f"log the model with Python {requirements.IMAGE_PYTHON}")


def tell_of_pins(report: Report, found: Pins, versions: Mapping[str, str]) -> None:
    """Warn of files that disagree, of packages without a version and of those that only conda has.

    Args:
        report: Where it is said.
        found: What the artifact says.
        versions: What is locked.
    """
    for clash in found.clashes:
        taken, other = clash.taken, clash.other
        said = "says that it was fitted by" if other.source == pins.MLMODEL else "has"
        says = (
            f"{taken.source} asks for {taken.text}, {other.source} {said} {taken.name} {other.version}: "
            f"{taken.name} {versions.get(taken.name, '')} is installed, since {taken.source} is what MLflow installs; "
            "answers may be others than at training"
        )
        report.add("versions", WARN, says, f"{report.log_again}  # pins what is installed where it is run")
    if found.loose:
        taken_now = ", ".join(f"{name} {versions.get(name, '')}".strip() for name in found.loose)
        says = (
            f"no file of the artifact says which {' and which '.join(found.loose)} the model was made with; "
            f"the newest that fits is taken, {taken_now}, and answers may be others than at training"
        )
        pinned = ", ".join(f"'{name}==…'" for name in found.loose)
        report.add(
            "versions", WARN, says, f"{report.log_again}  # pins what is installed where it is run",
            f"or mlflow.sklearn.log_model(…, extra_pip_requirements=[{pinned}])",
        )  # fmt: skip
    if found.unknown:
        more = f" and {len(found.unknown) - MOST} more" if len(found.unknown) > MOST else ""
        says = f"conda.yaml alone names {', '.join(found.unknown[:MOST])}{more}, which the image leaves out"
        report.add("versions", WARN, says, "if the model needs it: mlflow.sklearn.log_model(…, pip_requirements=[…])")
