"""Fresh namespaces in the session's cluster, looked into when a test fails; a small model of two versions to deploy."""

import pytest
from kubernetes import client

from tests.cluster import kube, releases


@pytest.fixture
def namespace(cluster, python_image):
    """A namespace of the test's own."""
    with kube.fresh_namespace() as name:
        yield name


@pytest.fixture(scope="module")
def models(cluster, python_image):
    """A namespace for the module's releases."""
    with kube.fresh_namespace() as name:
        yield name


@pytest.fixture(scope="session")
def light(cluster, python_image, registry):
    """Two versions of a model of 20 numbers, which takes a third of a millisecond a row; their addresses."""
    return [releases.log_light(registry, seed) for seed in (1, 2)]


@pytest.fixture(scope="session")
def trifold(cluster, registry):
    """Run the real command line, in the session's registry and cluster."""
    return releases.Trifold(cluster, registry)


@pytest.fixture(scope="session")
def python_image(cluster):
    """The image that test pods run, built and put into the cluster once."""
    cluster.run("build", "python")
    cluster.run("load", kube.PYTHON)


@pytest.fixture(scope="session")
def policies(cluster, python_image):
    """Skips where a connection that a NetworkPolicy forbids goes through: no plugin here enforces them."""
    with kube.fresh_namespace() as name:
        kube.start(name, kube.pod("server", kube.SERVER))
        kube.service(name, "server")
        kube.serves(name, "server")
        assert kube.fetch(name, f"http://server:{kube.PORT}/", name="before") == "200"
        deny = {"metadata": {"name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
        client.NetworkingV1Api().create_namespaced_network_policy(name, deny)
        passed = kube.fetch(name, f"http://server:{kube.PORT}/", reached=False, name="after") == "200"
    if passed:
        pytest.skip("negative control: a forbidden connection went through, so this cluster enforces no NetworkPolicy")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Attach the namespace's events, pods and logs to a failed test's report."""
    report = yield
    arguments = getattr(item, "funcargs", {})
    namespace = arguments.get("namespace") or arguments.get("models")
    if report.failed and namespace:
        report.sections.append((f"namespace {namespace}", kube.report(namespace)))
    return report
