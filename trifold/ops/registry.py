"""MLflow's registry: an alias becomes, once, a version, a run and a digest."""

import difflib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import requests
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from trifold import digest
from trifold.errors import DigestMismatch, RegistryError
from trifold.ops import addresses
from trifold.ops.home import home

DIGEST_TAG = "trifold.digest"
AUTOLOG_TAG = "estimator_class"
ADDRESS = re.compile(r"(?:models:/)?(?P<name>[^@/:]+)(?:@(?P<alias>[^@/]+)|/(?P<version>\d+|latest))")
LATEST = "latest"
RETRIES, TIMEOUT = "2", "20"
"""MLflow's own defaults would let a dead server wait for minutes."""


@dataclass(frozen=True)
class Pin:
    """Exactly one model version.

    Attributes:
        name: The registered model's name.
        version: Its version.
        alias: The alias that was resolved; None if a version was named.
        run_id: The run that made it.
        digest: SHA-256 of its artifact.
        description: The registry's words on the version, or else on the model.
        folder: Its artifact on this machine.
    """

    name: str
    version: str
    alias: str | None
    run_id: str
    digest: str
    description: str
    folder: Path


def connect() -> str:
    """Point MLflow at MLFLOW_TRACKING_URI, or at SQLite in Trifold's home; gives the address."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", TIMEOUT)
    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"
    mlflow.set_tracking_uri(address)
    return address


def use_experiment(name: str) -> None:
    """Make an experiment the current one; a new one of a local store keeps its artifacts in Trifold's home."""
    if connect().startswith("sqlite:") and mlflow.get_experiment_by_name(name) is None:
        mlflow.create_experiment(name, artifact_location=(home() / "artifacts" / name).as_uri())
    mlflow.set_experiment(name)


def resolve(address: str) -> ModelVersion:
    """The version that `NAME@alias`, `NAME/VERSION`, `NAME/latest` or the same after `models:/` stands for now.

    Raises:
        RegistryError: No such model, alias or version, or the registry does not answer.
    """
    match = ADDRESS.fullmatch(address)
    connect()
    client = mlflow.MlflowClient()
    if match is None:
        with _explained(address):
            raise RegistryError(addresses.explain(address, client))
    name, alias, version = match["name"], match["alias"], match["version"]
    with _explained(address):
        try:
            if alias:
                return client.get_model_version_by_alias(name, alias)
            if version == LATEST:
                return _latest(client, name)
            return client.get_model_version(name, version)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise RegistryError(_what_there_is(client, name, alias, version)) from error


def pin(address: str) -> Pin:
    """Resolve an address, fetch the artifact and fix its digest.

    The digest is written to the version's tag `trifold.digest` the first time; after that the files must have it.

    Raises:
        RegistryError: See `resolve`.
        DigestMismatch: The artifact is not what was pinned first.
    """
    found = resolve(address)
    client = mlflow.MlflowClient()
    with _explained(address):
        description = found.description or client.get_registered_model(found.name).description or ""
        known = found.tags.get(DIGEST_TAG)
        folder, computed = _fetch(found)
        if known and known != computed:
            raise DigestMismatch(known, computed)
        if not known:
            client.set_model_version_tag(found.name, str(found.version), DIGEST_TAG, computed)
    alias = match["alias"] if (match := ADDRESS.fullmatch(address)) else None
    return Pin(found.name, str(found.version), alias, found.run_id or "", computed, description, folder)


def metrics(run_id: str) -> dict[str, float]:
    """A run's last metrics; none for a version without a run."""
    if not run_id:
        return {}
    with _explained(f"run {run_id}"):
        return dict(mlflow.get_run(run_id).data.metrics)


def is_autologged(run_id: str) -> bool:
    """Whether MLflow's autolog made a run's models; it leaves the estimator's name there."""
    if not run_id:
        return False
    try:
        return AUTOLOG_TAG in mlflow.get_run(run_id).data.tags
    except MlflowException:  # the run may be gone, and it is only asked for better words
        return False


def has(address: str) -> bool:
    """Whether the registry answers and has this address."""
    try:
        resolve(address)
    except RegistryError:
        return False
    return True


def _fetch(version: ModelVersion) -> tuple[Path, str]:
    """The artifact's folder, named by its digest, and the digest of what the registry has now."""
    models = home() / "models"
    models.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=models) as parts:
        part = Path(parts) / "artifact"
        mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}", dst_path=str(part))
        computed = digest.digest(part)
        target = models / computed
        if not target.exists():
            part.rename(target)
    digest.require(target, computed)
    return target, computed


@contextmanager
def _explained(subject: str) -> Iterator[None]:
    """Say in a sentence why the registry gave nothing."""
    address = mlflow.get_tracking_uri()
    try:
        yield
    except (requests.RequestException, ConnectionError) as error:
        raise RegistryError(_away(address)) from error
    except MlflowException as error:
        if "API request" in str(error) or "Max retries" in str(error) or "unable to open" in str(error):
            raise RegistryError(_away(address)) from error
        raise RegistryError(f"The registry at {_shown(address)} could not give {subject}: {_short(error)}") from error
    except OSError as error:
        raise RegistryError(f"The artifact of {subject} could not be fetched: {error}.") from error


def _latest(client: mlflow.MlflowClient, name: str) -> ModelVersion:
    """The version with the greatest number."""
    found = client.search_model_versions(
        f"name = {addresses.quoted(name)}", max_results=1, order_by=["version_number DESC"]
    )
    if not found:
        raise RegistryError(_what_there_is(client, name, None, LATEST))
    return client.get_model_version(name, found[0].version)


def _what_there_is(client: mlflow.MlflowClient, name: str, alias: str | None, version: str | None) -> str:
    names = [model.name for model in client.search_registered_models(max_results=200)]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3) or sorted(names)[:10]
        has = f"it has {', '.join(near)}" if near else "it has no models at all"
        place = _shown(mlflow.get_tracking_uri())
        return (
            f"There is no model {name!r} in the registry at {place}; {has}. "
            "Register it, or set MLFLOW_TRACKING_URI to another registry."
        )
    if alias:
        aliases = sorted(client.get_registered_model(name).aliases)
        return (
            f"Model {name!r} has no alias {alias!r}; it has {', '.join(aliases) or 'none'}. "
            f"Set it with client.set_registered_model_alias({name!r}, {alias!r}, VERSION)."
        )
    versions = sorted(
        int(found.version)
        for found in client.search_model_versions(f"name = {addresses.quoted(name)}", max_results=200)
    )
    return f"Model {name!r} has no version {version}; it has {', '.join(map(str, versions[-10:])) or 'none yet'}."


def _away(address: str) -> str:
    return f"The registry at {_shown(address)} does not answer; start it, or set MLFLOW_TRACKING_URI."


def _shown(address: str) -> str:
    """An address without the password that may stand in it."""
    return re.sub(r"//[^@/]*@", "//", address)


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
