"""`check` over models of many kinds, logged with plain mlflow.sklearn.log_model as users do."""

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature

from trifold import digest
from trifold.contract.contract import Contract
from trifold.model import Model, load
from trifold.ops import artifact as artifacts
from trifold.ops import example as examples
from trifold.ops import registry as registries
from trifold.ops.check import check
from trifold.ops.findings import MODES
from trifold.ops.packaging import build

sys.path.insert(0, str(Path(__file__).parent))
import models  # found beside this file in every worker and by mlflow alike

PINNED = [f"{name}=={sys.modules[name].__version__}" for name in ("numpy", "pandas")]
REQUIREMENTS = [*PINNED, "scikit-learn", "skops"]
PICKLED = {"serialization_format": "cloudpickle"}
"""What nobody vouches for is not loaded, so that nothing slow is done."""


def log(name, estimator, X, **options):
    """Log and register as a user does; gives the pin."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    options = {"input_example": X[:5], "pip_requirements": REQUIREMENTS, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "signature" not in options and "input_example" in options:
            options["signature"] = infer_signature(X, estimator.predict(X))
        info = mlflow.sklearn.log_model(estimator, name="model", registered_model_name=name, **options)
    return registries.pin(f"{name}/{info.registered_model_version}")


def to_json(X):
    """Rows as a client sends them."""
    if not isinstance(X, pd.DataFrame):
        return np.asarray(X, dtype=object).tolist()
    table = X.rename(columns=str).astype(object)
    return table.where(table.notna(), None).to_dict("records")


def verdicts(report):
    """The verdict of each mode, printed for who runs with -s."""
    said = {mode: report.verdict(mode) for mode in MODES}
    parity = report.packed.parity if report.packed else ""
    print(f"{report.pin.name:<20} {' '.join(f'{mode} {verdict:<4}' for mode, verdict in said.items())} {parity}")
    return said


def noes(report):
    """The findings that rule a mode out."""
    return {found.subject: found for found in report.findings if found.verdict == "no"}


@pytest.mark.parametrize("kind", models.WORKING, ids=lambda kind: kind.__name__)
def test_a_yes_predicts_as_scikit_learn_does(kind, registry):
    """What check calls a yes gives scikit-learn's own answers over 1,000 rows, sent as JSON."""
    estimator, X, trusted = kind()
    pin = log(kind.__name__, estimator, X, skops_trusted_types=trusted)
    report = check(pin)
    named = isinstance(X, pd.DataFrame)
    expected = {"online": "yes", "batch": "yes" if named else "no", "stream": "yes" if named else "no"}
    assert verdicts(report) == expected, report.findings
    packed = report.packed
    contract = Contract.from_json(packed.contract)
    ours = Model(load(pin.folder, packed.file, packed.file_format, (), False, None), contract, form=packed.form)
    ours.blocks = packed.blocks
    checked = contract.check_rows(to_json(X))
    assert not checked.rejects
    answers = ours.predict(checked.rows)
    plain = estimator.predict(X)
    if plain.dtype.kind == "f":
        np.testing.assert_allclose(answers.predictions, plain, rtol=1e-12)
    else:
        np.testing.assert_array_equal(answers.predictions, plain)
    if hasattr(estimator, "predict_proba"):
        outputs = estimator.predict_proba(X)
        for found, wanted in zip(
            answers.probabilities, outputs if isinstance(outputs, list) else [outputs], strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-300)


def test_a_pickle_is_no_until_somebody_vouches_for_it(registry):
    """A registry of older MLflow holds pickles: check says how to log again, and --allow-pickle is on record."""
    estimator, X, _ = models.trees()
    pin = log(
        "pickled", estimator, X, serialization_format="cloudpickle", pip_requirements=[*REQUIREMENTS, "cloudpickle"]
    )
    refused = check(pin)
    assert set(verdicts(refused).values()) == {"no"}
    assert "trifold.log_model" in noes(refused)["format"].fix[0]
    assert "--allow-pickle" in noes(refused)["format"].fix[-1]
    allowed = check(pin, allow_pickle=True)
    assert set(verdicts(allowed).values()) == {"yes"}
    assert allowed.packed.allow_pickle


def test_no_signature_is_no(registry):
    """Without a signature nothing is known of the columns."""
    estimator, X, trusted = models.trees()
    pin = log("unsigned", estimator, X, signature=False, input_example=None, skops_trusted_types=trusted)
    report = check(pin)
    assert set(verdicts(report).values()) == {"no"}
    assert noes(report)["signature"].fix


def test_no_example_is_no(registry):
    """Without an example there is nothing to predict before a server says it is ready."""
    estimator, X, trusted = models.trees()
    signature = infer_signature(X, estimator.predict(X))
    pin = log("bare", estimator, X, signature=signature, input_example=None, skops_trusted_types=trusted)
    report = check(pin)
    assert set(verdicts(report).values()) == {"no"}
    assert noes(report)["example"].fix


def test_code_of_its_own_is_no_until_it_is_trusted(registry, tmp_path):
    """A custom estimator runs its author's code, so it needs --trust by its exact name."""
    X = models.numbers()
    estimator = models.MeanOfBatch().fit(X, models.label(X))
    path = str(Path(__file__).parent / "models.py")
    trusted = ["models.MeanOfBatch"]
    pin = log("custom", estimator, X, code_paths=[path], skops_trusted_types=trusted)
    refused = check(pin)
    assert set(verdicts(refused).values()) == {"no"}
    assert any("--trust" in line for found in noes(refused).values() for line in found.fix)
    allowed = check(pin, trusted=trusted)
    assert allowed.verdict("online") == "yes", allowed.findings


def test_loading_code_leaves_the_artifact_as_it_was(registry):
    """Python's own cache beside the code would be a change: the second start would be refused."""
    X = models.numbers()
    path = str(Path(__file__).parent / "models.py")
    options = {"code_paths": [path], "skops_trusted_types": ["models.MeanOfBatch"]}
    pin = log("cached", models.MeanOfBatch().fit(X, models.label(X)), X, **options)
    built = build(check(pin, trusted=["models.MeanOfBatch"]))
    program = "import sys; from pathlib import Path; from trifold.model import Model; Model.load(Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, built.model], env=environment, check=True)
    digest.require(built.model / "artifact", pin.digest)


def test_a_model_that_looks_at_its_neighbours_is_for_requests_alone(registry):
    """Whoever sends a request chooses its rows; in a batch or a stream nobody does."""
    X = models.numbers()
    estimator = models.MeanOfBatch().fit(X, models.label(X))
    path = str(Path(__file__).parent / "models.py")
    pin = log("neighbourly", estimator, X, code_paths=[path], skops_trusted_types=["models.MeanOfBatch"])
    report = check(pin, trusted=["models.MeanOfBatch"])
    assert verdicts(report) == {"online": "yes", "batch": "no", "stream": "no"}
    assert report.packed.parity == "not proven"
    assert "depends on the rows beside it" in noes(report)["parity"].says


def test_conflicting_requirements_name_both_sides(registry):
    """A pin that the server cannot live with is refused with the model's line and the server's."""
    estimator, X, trusted = models.trees()
    pin = log("old", estimator, X, skops_trusted_types=trusted, pip_requirements=["starlette==0.27.0", *REQUIREMENTS])
    report = check(pin)
    assert set(verdicts(report).values()) == {"no"}
    says = noes(report)["requirements"].says
    assert "starlette==0.27.0" in says
    assert "starlette>=" in says


def test_another_flavor_is_no(registry):
    """A pyfunc model is refused by name instead of failing somewhere."""

    class Constant(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [1] * len(model_input)

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    info = mlflow.pyfunc.log_model(
        name="model", python_model=Constant(), registered_model_name="pyfunc", pip_requirements=REQUIREMENTS
    )
    report = check(registries.pin(f"pyfunc/{info.registered_model_version}"))
    assert set(verdicts(report).values()) == {"no"}
    assert "python_function" in noes(report)["format"].says


def test_a_model_of_autologs_is_told_all_at_once(registry):
    """It took two rounds: first a pickle, then no example; and the line that mends both was not named."""
    estimator, X, _ = models.search()
    mlflow.sklearn.autolog(registered_model_name="autologged", silent=True)
    try:
        with mlflow.start_run():
            estimator.fit(X, models.label(X))
    finally:
        mlflow.sklearn.autolog(disable=True)
    report = check(registries.pin("autologged/latest"))
    found = noes(report)
    assert {"format", "example"} <= set(found)
    lines = "\n".join(found["format"].fix)
    assert "mlflow.sklearn.autolog(log_models=False)" in lines
    assert "trifold.log_model(model, X, registered_model_name='autologged'" in lines
    assert "log_input_examples=True, serialization_format='skops'" in lines
    assert "trifold check autologged/1 --allow-pickle" in lines
    assert {"requirements", "signature"} <= {one.subject for one in report.findings if one.verdict == "yes"}


def test_what_is_wrong_is_said_in_one_round(registry, tmp_path):
    """Format, packages, code and signature are looked at together: four rounds of logging again are an afternoon."""
    X = models.numbers()
    pin = log(
        "all-wrong", models.MeanOfBatch().fit(X, models.label(X)), X, serialization_format="cloudpickle",
        signature=False, code_paths=[str(Path(__file__).parent / "models.py")],
        pip_requirements=["starlette==0.27.0", "cloudpickle"],
    )  # fmt: skip
    found = noes(check(pin))
    assert {"format", "code", "requirements", "signature"} <= set(found)
    assert "models.py" in found["code"].says
    assert "although" in found["signature"].says or "though" in found["signature"].says
    assert "code_paths=['models.py']" in found["format"].fix[0]


def test_an_estimator_that_has_no_predict_is_said_to_have_none(registry):
    """It was "logged without a signature", with the advice to log it with an example, which it had."""
    from sklearn.preprocessing import StandardScaler

    X = models.numbers()
    pin = log("scaler", StandardScaler().fit(X), X, signature=None)
    assert "has no predict()" in noes(check(pin))["signature"].says


def test_a_predict_fn_of_ones_own_is_told(registry):
    """MLflow would answer with probabilities, Trifold answers with both."""
    estimator, X, trusted = models.trees()
    pin = log("probable", estimator, X, skops_trusted_types=trusted, pyfunc_predict_fn="predict_proba", **PICKLED)
    [found] = [one for one in check(pin).findings if one.subject == "answers"]
    assert found.verdict == "warn"
    assert "predict_proba() (pyfunc_predict_fn)" in found.says


def test_a_gap_that_no_row_of_the_example_has_is_warned_of(registry):
    """Check said yes, and then every null was 422, though the model takes it."""
    estimator, X, trusted = models.histogram_boosting()
    whole = X.dropna()
    pin = log("gapless", estimator, whole, skops_trusted_types=trusted)
    report = check(pin)
    [found] = [one for one in report.findings if one.subject == "missing"]
    assert found.verdict == "warn"
    assert "x0, x1, x2, x3, x4 and 1 more" in found.says
    assert "X[X[name].isna()].head(1)" in found.fix[0]
    assert any(one.subject == "commands" and one.verdict == "yes" for one in report.findings)


def test_every_no_has_the_lines_that_mend_it(registry):
    """A no without a way out is of no use."""
    estimator, X, _ = models.trees()
    pin = log("fixes", estimator, X, serialization_format="pickle", input_example=None, signature=False)
    report = check(pin)
    assert len(noes(report)) > 1
    assert all(found.fix for found in noes(report).values())


def test_artifacts_example_fits_its_own_contract(registry):
    """The example that a client is shown can be posted as it is."""
    estimator, X, trusted = models.mixed()
    pin = log("posted", estimator, X, skops_trusted_types=trusted)
    found = artifacts.read(pin.folder)
    contract = Contract.read(found.signature)
    rows = contract.to_rows(examples.fit(examples.read(found.folder, found.example), contract).rows)
    assert not contract.check_rows(rows).rejects
