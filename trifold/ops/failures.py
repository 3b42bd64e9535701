"""What kept a model from being tried: whose word it is, scikit-learn's or Trifold's, and what mends it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trifold.ops.findings import NO, Report

NO_MODULE = re.compile(r"No module named '(?P<module>[\w.]+)'")
MADE_BY = {
    "imblearn": "imbalanced-learn", "sklearn": "scikit-learn", "category_encoders": "category-encoders",
    "feature_engine": "feature-engine",
}  # fmt: skip
"""Packages that are imported by another name than they are installed by."""
SCIENCE = ("sklearn", "numpy", "scipy", "pandas", "skops")
BUILT_IN = ("builtins", "numpy", "scipy", "functools", "operator", "collections", "datetime")
SCRIPT = "__main__"
OURS = "ArtifactError"
"""The probe's own sentences, which say what is to be done."""
REFUSED = "RowsRefused"
LOAD, EXAMPLE, PREDICT = "load", "example", "predict"


def tell_of_failure(report: Report, tried: Mapping[str, Any] | None, how: str, plain: Mapping[str, Any] | None) -> None:
    """Say why our code could not try a model.

    Args:
        report: Where it is said.
        tried: What the probe says; None if its process ended without a word.
        how: How its process ended.
        plain: What plain scikit-learn makes of the example; None if it was not asked.
    """
    if tried is None:
        says = f"the process that loads and tries the model ended without an answer: {how}"
        report.add("load", NO, says, "log it with the versions that it was made with, pinned:", report.log_again)
        return
    fitted_by = tried["fitted_by"]
    if tried["types"]:
        _tell_of_types(report, tried["types"])
    elif tried["step"] == LOAD:
        report.add("load", NO, tried["error"], *_ways_to_load(report, tried["error"]))
    elif plain is not None and "failed" in plain:
        tell_of_plain(report, plain, fitted_by)
    elif tried["kind"] == OURS:
        report.add("predict", NO, tried["error"], *_pin(fitted_by), report.log_again)
    else:
        says = f"scikit-learn predicts the input example, but as Trifold asks it the model fails: {tried['error']}"
        refused = "convert types inside the pipeline, for instance with an OrdinalEncoder"
        other = "let predict() take a DataFrame or an array, and return an array of numbers or texts, a row each"
        report.add("predict", NO, says, refused if tried["kind"] == REFUSED else other)


def tell_of_plain(report: Report, plain: Mapping[str, Any], fitted_by: Sequence[str]) -> None:
    """Say why there is nothing of plain scikit-learn's to compare with, and whose word that is."""
    if plain["failed"] == PREDICT and fitted_by:
        says = (
            f"the model was fitted by scikit-learn {', '.join(fitted_by)} and cannot predict with the one that is "
            f"locked: {plain['error']}"
        )
        report.add("predict", NO, says, *_pin(fitted_by))
    elif plain["failed"] == PREDICT:
        says = f"plain scikit-learn cannot predict the input example, as the signature orders it: {plain['error']}"
        fix = "log the model with an input_example as its predict() takes it, and no signature but the example's"
        report.add("predict", NO, says, fix, report.log_again)
    elif plain["failed"] == EXAMPLE:
        says = f"Trifold cannot rebuild the input example as it was logged, to compare with: {plain['error']}"
        report.add("predict", NO, says, "log the model with a DataFrame or an array as input_example", report.log_again)
    else:
        says = f"plain scikit-learn cannot load the model, to compare with: {plain['error']}"
        report.add("predict", NO, says, *_ways_to_load(report, plain["error"]))


def _pin(fitted_by: Sequence[str]) -> list[str]:
    """The line that logs a model with the scikit-learn that fitted it."""
    lines = [f"'scikit-learn=={version}'" for version in fitted_by[-1:]]
    return [f"mlflow.sklearn.log_model(…, pip_requirements=[{line}, …])" for line in lines]


def _tell_of_types(report: Report, types: Sequence[str]) -> None:
    """Types that nobody vouched for: what they are decides what is to be done."""
    script = [name for name in types if _package(name) == SCRIPT]
    own = [name for name in types if _package(name) not in (*SCIENCE, *BUILT_IN, SCRIPT)]
    known = [name for name in types if name not in (*script, *own)]
    says, fix = [], []
    if script:
        says.append(f"{_listed(script)}, defined in the script or notebook that logged it, which no server has")
        fix.append("put it into a module, features.py, import it from there, fit again, and log the model with")
        fix.append("code_paths=['features.py']")
    if own:
        says.append(f"{_listed(own)}, code that is not scikit-learn's")
        fix.append("use scikit-learn's own types")
    if known:
        says.append(
            f"{_listed(known)}, of {_listed(sorted({_package(name) for name in known}))} itself, but not on Trifold's "
            "list of those that were read and found to run nothing that they are given"
        )
    if not script:
        vouch = report.command("check", trust=types)
        fix.append(f"or, if you read {'their code' if own else 'what they do'}: {vouch}" if fix else vouch)
    report.add("load", NO, f"the model holds types that are not trusted: {'; '.join(says)}", *fix)


def _ways_to_load(report: Report, error: str) -> list[str]:
    """The lines that may help a model that does not load, by what it says."""
    match = NO_MODULE.search(error)
    module = match["module"] if match else ""
    package = MADE_BY.get(_package(module), _package(module))
    if _package(module) in SCIENCE:
        return [
            f"# it was written with another version of {package}: pin the one that it was logged with",
            report.log_again,
        ]
    if package and package != SCRIPT:
        return [
            f"if it is a package: mlflow.sklearn.log_model(…, extra_pip_requirements=[{package!r}]), or",
            f"trifold.log_model(…, extra_requirements=[{package!r}])",
            f"if it is your own file: mlflow.sklearn.log_model(…, code_paths=['{_package(module)}.py'])",
        ]
    return ["log the model again, its code with code_paths or as a package", report.log_again]


def _package(name: str) -> str:
    return name.partition(".")[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
