"""The API server takes every object of both charts, in a namespace that enforces Pod Security `restricted`."""

import secrets

import pytest
from kubernetes import client
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError

from tests.charts import render
from tests.charts.objects import of_kind, template, where
from tests.cluster import kube

pytestmark = pytest.mark.cluster

OPTIONAL = {"HTTPRoute", "ScaledObject"}
"""Kinds that a cluster may lack; every other one has to be there."""


@pytest.fixture(scope="module")
def namespace(cluster):
    """A namespace for all renders, since a dry run leaves nothing in it; deleted afterwards."""
    with kube.fresh_namespace() as name:
        yield name


@pytest.fixture(scope="module")
def server(cluster):
    """A client that sends objects as they are."""
    return DynamicClient(client.ApiClient())


@pytest.mark.parametrize(("chart", "file"), render.cases())
def test_the_api_server_takes_every_object(chart, file, server, namespace):
    """No unknown field, no default that does not fit, no warning: not of Pod Security, nor of what is deprecated."""
    objects = render.objects(chart, file, release=f"r-{secrets.token_hex(4)}")
    core = client.CoreV1Api()
    there = {account.metadata.name for account in core.list_namespaced_service_account(namespace).items}
    for account in of_kind(objects, "ServiceAccount"):  # admission looks for a pod's account, so this one must be there
        if account["metadata"]["name"] not in there:
            core.create_namespaced_service_account(namespace, account)
    said = [f"{where(item)}: {words}" for item in objects for words in _tried(server, namespace, item)]
    assert said == []


def test_a_pod_that_breaks_restricted_is_told(server, namespace):
    """The server says so, so that silence above means something."""
    [deployment] = of_kind(render.objects("model-serving", "minimal-values.yaml"), "Deployment")
    template(deployment)["spec"]["hostNetwork"] = True
    assert "restricted" in " ".join(_tried(server, namespace, deployment))


def test_an_unknown_field_is_told(server, namespace):
    """A typing error in a template would be dropped without a word."""
    [service] = of_kind(render.objects("model-serving", "minimal-values.yaml"), "Service")
    service["spec"]["selecter"] = {}
    assert "selecter" in " ".join(_tried(server, namespace, service))


def _tried(server, namespace, item):
    """What the API server has against an object, tried without keeping it."""
    for port in item.get("spec", {}).get("ports", []) if item["kind"] == "Service" else []:
        port.pop("nodePort", None)  # the platform of this very cluster may have it
    try:
        kind = server.resources.get(api_version=item["apiVersion"], kind=item["kind"])
    except ResourceNotFoundError:
        return [] if item["kind"] in OPTIONAL else ["the cluster has no such kind"]
    strict = [("fieldValidation", "Strict")]
    try:
        place = item["metadata"].get("namespace", namespace)
        answer = kind.create(item, namespace=place, dry_run="All", query_params=strict, serialize=False)
    except DynamicApiError as error:
        # The account was made for real, so that its name is taken: that is how far it got.
        return [] if item["kind"] == "ServiceAccount" and error.status == 409 else [error.summary()]
    return answer.headers.getlist("Warning")
