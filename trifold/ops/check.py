"""Say beforehand whether a registered model will work, in each mode, and what mends it.

All that can be said is said at once: what rules a model out does not keep the rest from being looked at.
"""

from collections.abc import Sequence
from pathlib import Path

from trifold.contract.contract import Contract
from trifold.contract.profile import LACKS
from trifold.contract.profile import read as read_profile
from trifold.contract.signature import Signature
from trifold.errors import ArtifactError, TrifoldError
from trifold.ops import artifact as artifacts
from trifold.ops import example as examples
from trifold.ops import registry
from trifold.ops.artifact import PREDICT, SKOPS, Artifact
from trifold.ops.example import Example, Fitting
from trifold.ops.findings import BATCH, NO, STREAM, WARN, YES, Report
from trifold.ops.hints import read_hints
from trifold.ops.pin_findings import look_at_requirements, read_pins
from trifold.ops.trial import Trial, load_model, try_model
from trifold.ops.unsigned import explain


def check(pin: registry.Pin, *, trusted: Sequence[str] = (), allow_pickle: bool = False, deep: bool = False) -> Report:
    """Look at a pinned version, from its files to a prediction in its own environment.

    Args:
        pin: What `registry.pin` gave.
        trusted: Types beyond scikit-learn's that the caller vouches for.
        allow_pickle: Whether the caller trusts the origin enough to run a pickle.
        deep: Whether to compare answers with MLflow's pyfunc, in an environment of its own.
    """
    report = Report(pin, tuple(trusted), allow_pickle, deep=deep)
    report.add("digest", YES, f"{pin.digest[:12]}…, written to the version's tag {registry.DIGEST_TAG}")
    try:
        artifact = artifacts.read(pin.folder)
    except ArtifactError as error:
        report.add("format", NO, str(error), "mlflow.sklearn.log_model(model, name='model', input_example=X.head())")
        return report
    report.code_files = artifact.code_files
    found = read_pins(report, artifact)
    _look_at_format(report, artifact)
    _look_at_code(report, artifact)
    is_vouched_for = report.allow_pickle or (artifact.file_format == SKOPS and not _is_code_unknown(report, artifact))
    if found:
        look_at_requirements(report, artifact, found)
    example = _read_example(report, artifact)
    trial = _begin_trial(report, artifact) if is_vouched_for and report.lock else None
    contract = _look_at_signature(report, artifact, example, trial)
    fitting = _look_at_example(report, example, contract)
    if trial and contract and fitting:
        try_model(trial, contract, fitting, read_hints(example.data if example else None, contract.times))
    elif trial:
        load_model(trial)
    return report


def _begin_trial(report: Report, artifact: Artifact) -> Trial | None:
    try:
        return Trial(report, artifact)
    except TrifoldError as error:  # a package of the lock cannot be installed
        report.add("environment", NO, str(error), report.log_again)
        return None


def _look_at_format(report: Report, artifact: Artifact) -> None:
    if artifact.file_format == SKOPS:
        report.add("format", YES, "skops, which runs no code when it is loaded")
    elif report.allow_pickle:
        says = f"{artifact.file_format}, allowed by --allow-pickle; the pin and GET /model say so"
        report.add("format", WARN, says)
    else:
        says = f"{artifact.file_format}, which runs whatever its author wrote as soon as it is loaded"
        vouch = f"or, if you trust its origin: {report.command('check', allow_pickle=True)}"
        report.add("format", NO, says, *_skops_lines(report), vouch)
    if artifact.predict_fn not in (None, PREDICT):
        says = (
            f"MLflow's pyfunc answers with {artifact.predict_fn}() (pyfunc_predict_fn), Trifold with predict() and, "
            "where the model has it, predict_proba() beside it"
        )
        report.add("answers", WARN, says, "read the probabilities beside the predictions, in every mode")


def _skops_lines(report: Report) -> list[str]:
    """What logs the model as skops, with its example: for a model of autolog's as well."""
    if not registry.is_autologged(report.pin.run_id):
        return [f"{report.log_again}  # logs skops"]
    return [
        "mlflow.sklearn.autolog(log_models=False)  # it logs pickles; parameters and metrics as before",
        f"{report.log_again}  # after fit(), in the same run: skops, signature, example and pins",
        "or, where skops knows all its types: mlflow.sklearn.autolog(log_input_examples=True, "
        f"serialization_format='skops', registered_model_name={report.pin.name!r})",
    ]


def _is_code_unknown(report: Report, artifact: Artifact) -> bool:
    return bool(artifact.code) and not (report.trusted or report.allow_pickle)


def _look_at_code(report: Report, artifact: Artifact) -> None:
    if _is_code_unknown(report, artifact):
        module = next((Path(name).stem for name in artifact.code_files), "module")
        says = f"the model brings code of its own, {', '.join(artifact.code_files)}, which nobody vouched for"
        vouch = f"or, if you read it: {report.command('check', trust=[f'{module}.YourTransformer'])}"
        report.add("code", NO, says, "use transformers of scikit-learn", vouch)


def _read_example(report: Report, artifact: Artifact) -> Example | None:
    try:
        example = examples.read(artifact.folder, artifact.example)
    except ArtifactError as error:
        report.add("example", NO, str(error), report.log_again)
        return None
    if example is None:
        says = "no input example; the example is what is predicted before a server is ready"
        report.add("example", NO, says, report.log_again)
    return example


def _ways_to_columns(signature: Signature) -> tuple[str, ...]:
    """The lines that fit a model anew on columns with names; a vectorizer takes one of them, not a DataFrame."""
    texts = [column.kind.name == "string" for column in signature.columns] == [True]
    if texts or (signature.tensor is not None and not signature.tensor.shape):
        return (
            "model = make_pipeline(make_column_transformer((vectorizer, 'text')), estimator)",
            "X = pd.DataFrame({'text': X})", "model.fit(X, y)",
        )  # fmt: skip
    return "X = pd.DataFrame(X, columns=[...])", "model.fit(X, y)"


def _look_at_signature(
    report: Report, artifact: Artifact, example: Example | None, trial: Trial | None
) -> Contract | None:
    if example and not artifact.signature:
        _explain_no_signature(report, artifact, example, trial)
        return None
    try:
        contract = Contract.read(artifact.signature, read_profile(artifact.folder))
    except TrifoldError as error:
        report.add("signature", NO, str(error), report.log_again)
        return None
    signature = contract.signature
    if signature.tensor is not None or not signature.named:
        what = f"a tensor, {list(signature.tensor.shape)} a row" if signature.tensor else "columns without names"
        report.add("signature", YES, what)
        report.add(
            "columns", NO, "a table or an event has columns with names, this model's input has none",
            *_ways_to_columns(signature), report.log_again,
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
        report.add("profile", WARN, f"none; lacks {'; '.join(LACKS)}", report.log_again)
    return contract


def _explain_no_signature(report: Report, artifact: Artifact, example: Example, trial: Trial | None) -> None:
    can_predict = artifact.predict_fn is not None
    plain = trial.ask_plain()({}) if trial and can_predict else {"failed": "untried"}
    refusal = plain.get("error", "") if plain.get("failed", PREDICT) == PREDICT else None
    why, fix = explain(example, can_predict=can_predict, refusal=refusal)
    says = f"there is none, so the model's columns are unknown, though it has an input example: {why}"
    report.add("signature", NO, says, *fix, report.log_again)


def _look_at_example(report: Report, example: Example | None, contract: Contract | None) -> Fitting | None:
    if example is None or contract is None:
        return None
    try:
        fitting = examples.fit(example, contract)
    except ArtifactError as error:
        report.add("example", NO, str(error), report.log_again)
        return None
    count = len(fitting.kept)
    rows = f"{count} row{'s' if count > 1 else ''}"
    if fitting.rejects:
        says = (
            f"{rows} of {fitting.count} can be posted, the others are refused (422): row {fitting.rejects[0].row}, "
            f"{examples.tell(fitting.rejects)}"
        )
        report.add("example", WARN, says, report.log_again)
    else:
        report.add("example", YES, f"{rows} that can be posted as {'they are' if count > 1 else 'it is'}")
    return fitting
