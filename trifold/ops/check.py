"""Say beforehand whether a registered model will work, in each mode, and what mends it."""

import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trifold.answers import Answers, agrees
from trifold.contract.contract import Contract
from trifold.contract.profile import LACKS
from trifold.contract.profile import read as read_profile
from trifold.errors import ArtifactError, RequirementsConflict, TrifoldError
from trifold.model import FRAME, MATRIX, TEXT
from trifold.ops import artifact as artifacts
from trifold.ops import environment, registry, requirements
from trifold.ops.artifact import Artifact
from trifold.ops.home import ROOT
from trifold.packed import NATIVE, NOT_PROVEN, Packed
from trifold.trust import TRUSTED

ONLINE, BATCH, STREAM = MODES = ("online", "batch", "stream")
YES, WARN, NO = "yes", "warn", "no"
LOG_AGAIN = "trifold.log_model(model, X, registered_model_name={name!r})"
GIVEN = {FRAME: "a DataFrame", MATRIX: "an array", TEXT: "a list of texts"}
SECONDS = 300
"""After which a model that is tried is given up."""


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Attributes:
        subject: What was looked at.
        verdict: "yes", "warn" or "no".
        says: What was found.
        fix: For anything but yes, the lines that mend it.
        modes: The modes that a no rules out.
    """

    subject: str
    verdict: str
    says: str
    fix: tuple[str, ...] = ()
    modes: tuple[str, ...] = MODES


@dataclass
class Report:
    """What a check found.

    Attributes:
        pin: The version that was looked at.
        trusted: Types that the caller vouches for.
        allow_pickle: Whether the caller vouches for a pickle.
        findings: In the order of the checks.
        packed: What the packed model will say of itself, as far as it got.
        lock: The locked requirements, as far as it got.
        expected: Plain scikit-learn's answers to the example, as far as it got.
    """

    pin: registry.Pin
    trusted: tuple[str, ...] = ()
    allow_pickle: bool = False
    findings: list[Finding] = field(default_factory=list)
    packed: Packed | None = None
    lock: str | None = None
    expected: dict[str, Any] | None = None

    def verdict(self, mode: str) -> str:
        """Whether the model works in a mode: "yes" or "no"."""
        return NO if any(found.verdict == NO and mode in found.modes for found in self.findings) else YES

    def add(self, subject: str, verdict: str, says: str, *fix: str, modes: tuple[str, ...] = MODES) -> None:
        """Add a finding."""
        self.findings.append(Finding(subject, verdict, says, fix, modes))

    @property
    def failed(self) -> bool:
        """Whether a finding rules out every mode, so that looking further is of no use."""
        return all(self.verdict(mode) == NO for mode in MODES)


def check(pin: registry.Pin, *, trusted: Sequence[str] = (), allow_pickle: bool = False) -> Report:
    """Look at a pinned version, from its files to a prediction in its own environment.

    Args:
        pin: What `registry.pin` gave.
        trusted: Types beyond scikit-learn's that the caller vouches for.
        allow_pickle: Whether the caller trusts the origin enough to run a pickle.
    """
    report = Report(pin, tuple(trusted), allow_pickle)
    report.add("digest", YES, f"{pin.digest[:12]}…, written to the version's tag {registry.DIGEST_TAG}")
    try:
        artifact = artifacts.read(pin.folder)
    except ArtifactError as error:
        report.add("format", NO, str(error), "mlflow.sklearn.log_model(model, name='model', input_example=X.head())")
        return report
    contract = _look_at_signature(report, artifact)
    _look_at_format(report, artifact)
    _look_at_requirements(report, artifact)
    if report.failed or contract is None:
        return report
    rows = _look_at_example(report, artifact, contract)
    if not report.failed:
        _try(report, artifact, contract, rows)
    return report


def _look_at_signature(report: Report, artifact: Artifact) -> Contract | None:
    try:
        contract = Contract.read(artifact.signature, read_profile(artifact.folder))
    except TrifoldError as error:
        report.add("signature", NO, str(error), LOG_AGAIN.format(name=report.pin.name))
        return None
    signature = contract.signature
    if signature.tensor is not None or not signature.named:
        what = f"a tensor, {list(signature.tensor.shape)} a row" if signature.tensor else "columns without names"
        report.add("signature", YES, what)
        report.add(
            "columns", NO, "a table or an event has columns with names, this model's input has none",
            "X = pd.DataFrame(X, columns=[...])", "model.fit(X, y)", LOG_AGAIN.format(name=report.pin.name),
            modes=(BATCH, STREAM),
        )  # fmt: skip
    else:
        optional = sum(not column.required for column in signature.columns)
        report.add("signature", YES, f"{len(signature.columns)} columns, {optional} of them optional")
    if signature.params:
        report.add("params", WARN, f"{', '.join(signature.params)}: checked, but scikit-learn's predict() takes none")
    if contract.profile:
        report.add("profile", YES, f"format 1, {contract.profile.title or 'without a title'}")
    else:
        report.add("profile", WARN, f"none; lacks {'; '.join(LACKS)}", LOG_AGAIN.format(name=report.pin.name))
    return contract


def _look_at_format(report: Report, artifact: Artifact) -> None:
    address = f"{report.pin.name}/{report.pin.version}"
    if artifact.file_format == "skops":
        report.add("format", YES, "skops, which runs no code when it is loaded")
    elif report.allow_pickle:
        report.add(
            "format",
            WARN,
            f"{artifact.file_format}, allowed by --allow-pickle; the pin and GET /model say so",
        )
        if not artifact.python.startswith(f"{requirements.IMAGE_PYTHON}."):
            says = (
                f"logged by Python {artifact.python}, the image has {requirements.IMAGE_PYTHON}; a pickle may not load"
            )
            report.add("python", WARN, says, f"log the model with Python {requirements.IMAGE_PYTHON}")
    else:
        report.add(
            "format", NO, f"{artifact.file_format}, which runs whatever its author wrote as soon as it is loaded",
            LOG_AGAIN.format(name=report.pin.name) + "  # logs skops",
            f"or, if you trust its origin: trifold check {address} --allow-pickle",
        )  # fmt: skip
    if artifact.code and not (report.trusted or report.allow_pickle):
        report.add(
            "code", NO, f"the model brings code of its own, {artifact.code}/, which nobody vouched for",
            "use transformers of scikit-learn",
            f"or, if you read it: trifold check {address} --trust {Path(artifact.code).name}.YourTransformer",
        )  # fmt: skip


def _look_at_requirements(report: Report, artifact: Artifact) -> None:
    try:
        report.lock = requirements.lock(requirements.of_model(artifact.requirements))
    except RequirementsConflict as error:
        report.add("requirements", NO, str(error), LOG_AGAIN.format(name=report.pin.name))
        return
    count = report.lock.count("==")
    report.add("requirements", YES, f"{count} packages locked, the model's and the server's together")


def _look_at_example(report: Report, artifact: Artifact, contract: Contract) -> list[Any]:
    if artifact.example is None:
        says = "no input example; the example is what is predicted before a server is ready"
        report.add("example", NO, says, LOG_AGAIN.format(name=report.pin.name))
        return []
    try:
        rows = contract.to_rows(artifacts.example_rows(contract, artifact.example))
    except ArtifactError as error:
        report.add("example", NO, str(error), LOG_AGAIN.format(name=report.pin.name))
        return []
    report.add("example", YES, f"{len(rows)} row{'s' if len(rows) > 1 else ''} that can be posted as they are")
    return rows


def _try(report: Report, artifact: Artifact, contract: Contract, rows: list[Any]) -> None:
    assert report.lock is not None
    python = environment.python(report.lock)
    load = {"file": artifact.file, "format": artifact.file_format, "code": artifact.code}
    specification = {
        **load, "trusted": report.trusted, "allow_pickle": report.allow_pickle, "artifact": str(artifact.folder),
        "contract": contract.to_json(), "rows": rows,
    }  # fmt: skip
    trusted = sorted(TRUSTED | set(report.trusted))
    arguments = [str(artifact.folder), json.dumps({**load, "trusted": trusted})]
    run = [str(python), "-B"]  # what Python writes beside a model's own code would change the artifact's digest
    with ThreadPoolExecutor(2) as both:
        ours = both.submit(_run, [*run, "-m", "trifold.ops.probe"], json.dumps(specification))
        theirs = both.submit(_run, [*run, "-I", str(Path(__file__).parent / "expected.py"), *arguments], "")
    done, plain = ours.result(), theirs.result()
    tried = _document(done)
    if tried is None or "error" in tried:
        _add_failure(report, tried, done)
        return
    report.add("load", YES, f"with the locked packages; it is given {GIVEN[tried['form']]}")
    report.expected = _document(plain)
    _compare(report, tried, plain)
    _add_parity(report, tried)
    report.packed = Packed(
        name=report.pin.name,
        version=report.pin.version,
        run_id=report.pin.run_id,
        digest=report.pin.digest,
        file=artifact.file,
        file_format=artifact.file_format,
        contract=contract.to_json(),
        form=tried["form"],
        parity=tried["parity"],
        blocks=tuple(tried["blocks"]),
        input_example=tuple(rows),
        code=artifact.code,
        trusted=report.trusted,
        allow_pickle=report.allow_pickle,
        metrics=registry.metrics(report.pin.run_id),
        description=report.pin.description,
    )


def _compare(report: Report, tried: dict[str, Any], plain: subprocess.CompletedProcess[str]) -> None:
    if report.expected is None:
        says = f"plain scikit-learn cannot predict the input example: {_last_line(plain.stderr)}"
        report.add("predict", NO, says, "log the model with an input_example as its predict() takes it")
        return
    outputs = tried["answers"]["probabilities"]
    answers = Answers(
        np.asarray(tried["answers"]["predictions"]),
        outputs and tuple(np.asarray(output) for output in outputs),
    )
    if agrees(answers, report.expected):
        report.add("predict", YES, "the example, as plain scikit-learn does in a process of its own")
    else:
        says = "the example's answers differ from plain scikit-learn's: the columns' types say more than the signature"
        report.add("predict", NO, says, "convert types inside the pipeline, for instance with an OrdinalEncoder")


def _add_parity(report: Report, tried: dict[str, Any]) -> None:
    origin, count = tried["sample"]
    where = f"{count} {origin} rows"
    if tried["parity"] == NOT_PROVEN:
        says = f"not proven on {where}: a row's last bits depend on its neighbours, in blocks of any size too"
        report.add("parity", WARN, says, "accept that modes may differ in the last bits, or use another estimator")
    elif tried["parity"] == NATIVE:
        report.add("parity", YES, f"native: bit-equal however {where} are cut and ordered")
    else:
        report.add(
            "parity",
            YES,
            f"{tried['parity']}: bit-equal in padded blocks, however {where} are cut and ordered",
        )
    report.add("speed", YES, f"{tried['row_ms']} ms for one row")
    for column in tried["refuses_missing"]:
        says = f"{column} is optional in the signature, but the model refuses a row without it (422)"
        report.add("missing", WARN, says, "add a SimpleImputer to the pipeline")


def _add_failure(report: Report, tried: dict[str, Any] | None, done: subprocess.CompletedProcess[str]) -> None:
    address = f"{report.pin.name}/{report.pin.version}"
    if tried is None:
        says = f"the model ends the process that loads it: {_last_line(done.stderr) or f'exit code {done.returncode}'}"
        report.add("load", NO, says, "log the model again and look at its requirements")
    elif tried["types"]:
        flags = " ".join(f"--trust {name}" for name in tried["types"])
        report.add(
            "load", NO, tried["error"], "use scikit-learn's own types",
            f"or, if you read their code: trifold check {address} {flags}",
        )  # fmt: skip
    elif tried["kind"] == "RowsRefused":
        report.add("predict", NO, tried["error"], "log the model with an input_example as its predict() takes it")
    else:
        report.add("load", NO, tried["error"], "log the model again, its code with code_paths or as a package")


def _run(command: list[str], given: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"it took more than {SECONDS} s")


def _document(done: subprocess.CompletedProcess[str]) -> dict[str, Any] | None:
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        return None


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:300]
