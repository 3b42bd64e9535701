"""Addresses that MLflow knows and that name no version of a registered model: what to write instead."""

import re

import mlflow
from mlflow.exceptions import MlflowException

LOGGED = re.compile(r"(?:models:/)?(?P<id>m-[0-9a-f]{32})")
RUN = re.compile(r"runs:/(?P<id>[0-9a-f]{32})(?:/.*)?")
STAGED = re.compile(r"(?:models:/)?(?P<name>[^@/:]+)/(?P<stage>none|staging|production|archived)", re.IGNORECASE)


def explain(address: str, client: mlflow.MlflowClient) -> str:
    """Say what an address is and what to write instead."""
    staged, logged, run = (pattern.fullmatch(address) for pattern in (STAGED, LOGGED, RUN))
    if staged:
        name, alias = staged["name"], staged["stage"].lower()
        return (
            f"{address!r} names a stage, which MLflow has no more; set an alias, "
            f"client.set_registered_model_alias({name!r}, {alias!r}, VERSION), and write {name}@{alias}."
        )
    if logged:
        return _register("a logged model", address, _of_logged(client, logged["id"]))
    if run:
        return _register("a run", address, _registered(client, run["id"]))
    return f"{address!r} names no model; write it as churn@champion, churn/3 or churn/latest."


def quoted(text: str) -> str:
    """A value in MLflow's search."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def _register(what: str, address: str, found: list[str]) -> str:
    if found:
        return f"{address!r} is {what}, and not a version; it is registered: write {' or '.join(found)}."
    uri = address if ":/" in address else f"models:/{address}"
    register = f"mlflow.register_model({uri!r}, 'NAME')"
    return f"{address!r} is {what} that is not registered; register it, {register}, and write NAME/1."


def _of_logged(client: mlflow.MlflowClient, model_id: str) -> list[str]:
    """The versions that were registered from a logged model."""
    try:
        run_id = client.get_logged_model(model_id).source_run_id
    except MlflowException:
        return []
    return _registered(client, run_id, model_id) if run_id else []


def _registered(client: mlflow.MlflowClient, run_id: str, model_id: str = "") -> list[str]:
    """The versions that were registered from a run, and from the one logged model of it that is meant."""
    found = client.search_model_versions(f"run_id = {quoted(run_id)}")
    return [
        f"{version.name}/{version.version}"
        for version in found
        if not model_id or model_id == version.model_id or model_id in (version.source or "")
    ]
