"""The registry: an alias becomes a version, a run and a digest, once; whatever is not there is said in a sentence."""

import shutil
import time
from pathlib import Path
from urllib.parse import urlparse

import mlflow
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import trifold
from trifold import digest
from trifold.errors import DigestMismatch, RegistryError
from trifold.ops import registry as registries


@pytest.fixture
def version(registry, request):
    """A registered model of this test's own; its name and version."""
    X = np.random.default_rng(0).normal(size=(40, 2))
    name = request.node.name.replace("_", "-")[:60]
    with mlflow.start_run():
        mlflow.log_metric("auc", 0.75)
        info = trifold.log_model(LogisticRegression().fit(X, X[:, 0] > 0), X, registered_model_name=name)
    return name, str(info.registered_model_version)


def test_an_alias_is_pinned_to_version_run_and_digest(version):
    """What runs is what the alias meant when it was asked for, whatever it means later."""
    name, number = version
    mlflow.MlflowClient().set_registered_model_alias(name, "champion", number)
    pin = registries.pin(f"models:/{name}@champion")
    assert (pin.name, pin.version, pin.alias) == (name, number, "champion")
    assert pin.digest == digest.digest(pin.folder)
    assert registries.metrics(pin.run_id) == {"auc": 0.75}
    assert registries.pin(f"{name}/{number}").digest == pin.digest


def test_the_digest_is_written_to_the_version_once(version):
    """The tag lets anybody compare a running model with the registry."""
    name, number = version
    pin = registries.pin(f"{name}/{number}")
    tags = mlflow.MlflowClient().get_model_version(name, number).tags
    assert tags[registries.DIGEST_TAG] == pin.digest


def test_an_artifact_that_was_changed_after_it_was_pinned_is_refused(version):
    """Who can write to the artifact store must not decide what runs."""
    name, number = version
    pin = registries.pin(f"{name}/{number}")
    folder = Path(urlparse(mlflow.MlflowClient().get_model_version_download_uri(name, number)).path)
    with (folder / "MLmodel").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(DigestMismatch, match=pin.digest[:12]):
        registries.pin(f"{name}/{number}")


def test_a_changed_copy_on_this_machine_is_refused(version):
    """A fetched model is not trusted because of its name."""
    pin = registries.pin("/".join(version))
    copy = pin.folder / "MLmodel"
    original = copy.read_bytes()
    try:
        copy.write_bytes(original + b"# changed\n")
        with pytest.raises(DigestMismatch):
            registries.pin("/".join(version))
    finally:
        copy.write_bytes(original)


def test_what_is_not_there_is_said_with_what_is(version):
    """A typing error should cost a second, not a search."""
    name, number = version
    for address, words in (
        (f"{name}x@champion", f"{name}"),
        (f"{name}@champion", "it has none"),
        (f"{name}/99", f"it has {number}"),
        ("no model at all", "names no model"),
        ("", "names no model"),
    ):
        with pytest.raises(RegistryError, match=words):
            registries.pin(address)


def test_a_registry_that_does_not_answer_is_said_soon(monkeypatch, registry, free_port):
    """MLflow's own retries would wait for minutes; and no password is printed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}")
    start = time.monotonic()
    try:
        with pytest.raises(RegistryError, match="does not answer") as error:
            registries.pin("churn@champion")
    finally:
        mlflow.set_tracking_uri(registry)
    assert "secret" not in str(error.value)
    assert time.monotonic() - start < 30


def test_a_fetch_that_was_cut_short_leaves_nothing_that_is_used(version, monkeypatch):
    """An artifact is there whole or not at all."""
    pin = registries.pin("/".join(version))
    shutil.rmtree(pin.folder)
    with monkeypatch.context() as patch:
        patch.setattr(digest, "digest", lambda _: (_ for _ in ()).throw(OSError("cut short")))
        with pytest.raises(RegistryError, match="cut short"):
            registries.pin("/".join(version))
    assert not pin.folder.exists()
    assert registries.pin("/".join(version)).folder == pin.folder


def test_latest_is_the_version_with_the_greatest_number(version):
    """MLflow's own word for it; it is resolved once, as an alias is."""
    name, number = version
    found = mlflow.MlflowClient().get_model_version(name, number)
    newer = mlflow.MlflowClient().create_model_version(name, found.source, found.run_id)
    for address in (f"{name}/latest", f"models:/{name}/latest"):
        pin = registries.pin(address)
        assert (pin.version, pin.alias) == (str(newer.version), None)
    with pytest.raises(RegistryError, match="no model 'nosuch'"):
        registries.resolve("nosuch/latest")


def test_a_logged_model_or_a_run_names_the_version_that_was_registered_from_it(version):
    """MLflow's page shows these addresses, so they are what people paste."""
    name, number = version
    found = mlflow.MlflowClient().get_model_version(name, number)
    model_id = found.model_id or found.source.rpartition("/")[2]
    for address in (f"models:/{model_id}", model_id, f"runs:/{found.run_id}/model"):
        with pytest.raises(RegistryError, match=f"it is registered: write {name}/{number}"):
            registries.resolve(address)


def test_a_logged_model_that_is_not_registered_says_how_to(registry):
    """Only what is registered has a version, an alias and a tag for its digest."""
    X = np.random.default_rng(0).normal(size=(40, 2))
    with mlflow.start_run():
        info = trifold.log_model(LogisticRegression().fit(X, X[:, 0] > 0), X)
    for address in (f"models:/{info.model_id}", f"runs:/{info.run_id}/model"):
        with pytest.raises(RegistryError) as error:
            registries.resolve(address)
        assert f"mlflow.register_model('{address}', 'NAME')" in str(error.value)
    with pytest.raises(RegistryError, match="is not registered"):
        registries.resolve("m-" + "0" * 32)


def test_a_stage_is_answered_with_the_alias_that_replaces_it(registry):
    """Stages are gone from MLflow, and live on in scripts."""
    with pytest.raises(RegistryError, match="write churn@production"):
        registries.resolve("models:/churn/Production")
