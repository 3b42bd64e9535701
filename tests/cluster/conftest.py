"""A fresh namespace for each test in the session's cluster, looked into when the test fails."""

import secrets

import pytest
from kubernetes import client

from tests.cluster import kube

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture
def namespace(cluster, python_image):
    """A new namespace that enforces Pod Security `restricted`, deleted afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    core = client.CoreV1Api()
    core.create_namespace({"metadata": {"name": name, "labels": {**RESTRICTED, "trifold.dev/test": "true"}}})
    yield name
    core.delete_namespace(name)


@pytest.fixture(scope="session")
def python_image(cluster):
    """The image that test pods run, built and put into the cluster once."""
    cluster.run("build", "python")
    cluster.run("load", kube.PYTHON)


@pytest.fixture(scope="session")
def policies(cluster, python_image):
    """Skips where a connection that a NetworkPolicy forbids goes through: no plugin here enforces them."""
    core = client.CoreV1Api()
    name = f"test-{secrets.token_hex(4)}"
    core.create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
    try:
        kube.start(name, kube.pod("server", kube.SERVER))
        kube.service(name, "server")
        kube.serves(name, "server")
        assert kube.fetch(name, f"http://server:{kube.PORT}/", name="before") == "200"
        deny = {"metadata": {"name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
        client.NetworkingV1Api().create_namespaced_network_policy(name, deny)
        passed = kube.fetch(name, f"http://server:{kube.PORT}/", reached=False, name="after") == "200"
    finally:
        core.delete_namespace(name)
    if passed:
        pytest.skip("negative control: a forbidden connection went through, so this cluster enforces no NetworkPolicy")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Attach the namespace's events, pods and logs to a failed test's report."""
    report = yield
    namespace = getattr(item, "funcargs", {}).get("namespace")
    if report.failed and namespace:
        report.sections.append((f"namespace {namespace}", kube.report(namespace)))
    return report
