"""The property checks find what they are for: seeded bad edits of a good render are all caught."""

from copy import deepcopy

import pytest

from tests.charts import checks, render, wiring
from tests.charts.objects import of_kind

GONE = object()
POD = "Deployment spec template spec"
CONTAINER = f"{POD} containers 0"
# What goes wrong: the check that sees it, the kind and the path of what is edited, what it becomes.
EDITS = {
    "root": (checks.restricted, f"{POD} securityContext runAsUser", 0),
    "may be root": (checks.restricted, f"{POD} securityContext runAsNonRoot", GONE),
    "no seccomp": (checks.restricted, f"{POD} securityContext seccompProfile", GONE),
    "escalation": (checks.restricted, f"{CONTAINER} securityContext allowPrivilegeEscalation", GONE),
    "privileged": (checks.restricted, f"{CONTAINER} securityContext privileged", True),
    "capabilities kept": (checks.restricted, f"{CONTAINER} securityContext capabilities", GONE),
    "capability added": (checks.restricted, f"{CONTAINER} securityContext capabilities add", ["SYS_ADMIN"]),
    "host network": (checks.restricted, f"{POD} hostNetwork", True),
    "host port": (checks.restricted, f"{CONTAINER} ports 0 hostPort", 3000),
    "hostPath": (checks.restricted, f"{POD} volumes 0", {"name": "tmp", "hostPath": {"path": "/var"}}),
    "root in the test pod": (checks.restricted, "Pod spec securityContext runAsUser", 0),
    "uid by the image": (checks.hardened, f"{POD} securityContext runAsUser", GONE),
    "writable root": (checks.hardened, f"{CONTAINER} securityContext readOnlyRootFilesystem", False),
    "token by default": (checks.hardened, f"{POD} automountServiceAccountToken", GONE),
    "token of the account": (checks.hardened, "ServiceAccount automountServiceAccountToken", True),
    "service links": (checks.hardened, f"{POD} enableServiceLinks", GONE),
    "no limits": (checks.sized, f"{CONTAINER} resources limits", GONE),
    "no requests": (checks.sized, f"{CONTAINER} resources requests", GONE),
    "no memory limit": (checks.sized, f"{CONTAINER} resources limits memory", GONE),
    "no readiness probe": (checks.probed, f"{CONTAINER} readinessProbe", GONE),
    "no liveness probe": (checks.probed, f"{CONTAINER} livenessProbe", GONE),
    "probe of another port": (checks.probed, f"{CONTAINER} startupProbe httpGet port", "web"),
    "latest": (checks.pinned, f"{CONTAINER} image", "registry.example.com:5000/churn:latest"),
    "no tag": (checks.pinned, f"{CONTAINER} image", "registry.example.com:5000/churn"),
    "secret in env": (checks.kept_secret, f"{CONTAINER} env 0", {"name": "DATABASE_PASSWORD", "value": "hunter2"}),
    "secret in a URI": (
        checks.kept_secret,
        f"{CONTAINER} env 0",
        {"name": "DATABASE", "value": "postgres://me:hunter2@db"},
    ),
    "object label missing": (checks.labelled, "Service metadata labels app.kubernetes.io/part-of", GONE),
    "pod label missing": (checks.labelled, f"{POD[:-5]} metadata labels app.kubernetes.io/part-of", GONE),
    "chart's version on pods": (checks.labelled, f"{POD[:-5]} metadata labels helm.sh/chart", "model-serving-0.1.0"),
    "long name": (checks.named, "Service metadata name", "a" * 64),
    "namespace named": (checks.named, "Service metadata namespace", "default"),
    "pods taken first": (checks.rolled, "Deployment spec strategy rollingUpdate maxUnavailable", 1),
    "strategy by default": (checks.rolled, "Deployment spec strategy", GONE),
    "Recreate": (checks.rolled, "Deployment spec strategy", {"type": "Recreate"}),
    "replicas beside an HPA": (checks.rolled, "Deployment spec replicas", 2),
    "selector of others": (wiring.selected, "Deployment spec selector matchLabels app.kubernetes.io/instance", "other"),
    "selector of all": (wiring.selected, "Deployment spec selector matchLabels app.kubernetes.io/component", GONE),
    "budget of no pod": (
        wiring.selected,
        "PodDisruptionBudget spec selector matchLabels app.kubernetes.io/component",
        "web",
    ),
    "policy of no pod": (
        wiring.selected,
        "NetworkPolicy spec podSelector matchLabels app.kubernetes.io/component",
        "web",
    ),
    "spread without selector": (wiring.selected, f"{POD} topologySpreadConstraints 0 labelSelector", GONE),
    "Service of no pod": (wiring.served, "Service spec selector app.kubernetes.io/component", "web"),
    "Service of the test pod": (wiring.served, "Service spec selector app.kubernetes.io/component", GONE),
    "Service port": (wiring.served, "Service spec ports 0 targetPort", 8080),
    "HPA target": (wiring.scaled, "HorizontalPodAutoscaler spec scaleTargetRef name", "churn"),
    "policy port": (wiring.let_through, "NetworkPolicy spec ingress 0 ports 0 port", 8080),
    "policy without ports": (wiring.let_through, "NetworkPolicy spec ingress 0 ports", GONE),
    "policy peer": (
        wiring.let_through,
        "NetworkPolicy spec ingress 0 from 0 podSelector matchLabels app.kubernetes.io/component",
        "web",
    ),
    "Ingress backend": (wiring.routed, "Ingress spec rules 0 http paths 0 backend service name", "churn"),
    "HTTPRoute port": (wiring.routed, "HTTPRoute spec rules 0 backendRefs 0 port", 3000),
    "account of another": (wiring.mounted, f"{POD} serviceAccountName", "churn"),
    "mount without volume": (wiring.mounted, f"{POD} volumes", []),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_bad_edit_is_caught(name):
    """The check that is for it complains, so that it would have failed the chart's tests."""
    check, path, value = EDITS[name]
    good = render.objects("model-serving", "everything-values.yaml")
    assert list(check(good)) == []
    assert list(check(_edited(good, path.split(), value)))


def test_every_check_is_tried():
    """A check that nothing ever failed may see nothing."""
    assert {check for check, *_ in EDITS.values()} == set(checks.CHECKS)


def test_an_object_that_is_there_twice_is_caught():
    """Helm would apply both, and the later one would win."""
    good = render.objects("model-serving", "everything-values.yaml")
    assert any("twice" in found for found in checks.complaints([*good, good[0]]))


def test_a_secret_in_the_chart_is_caught():
    """Its content would stand in git, in the values and in Helm's own record of the release."""
    secret = {"kind": "Secret", "metadata": {"name": "database"}, "data": {}}
    assert list(checks.kept_secret([secret]))


def _edited(objects, path, value):
    """A copy in which the first object of a kind is changed at a path."""
    kind, *keys, last = path
    copied = deepcopy(objects)
    found = of_kind(copied, kind)[0]
    for key in keys:
        found = found[int(key) if isinstance(found, list) else key]
    last = int(last) if isinstance(found, list) else last
    if value is GONE:
        del found[last]
    else:
        found[last] = value
    return copied
