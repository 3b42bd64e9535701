"""The property checks find what they are for: seeded bad edits of a good render are all caught."""

from copy import deepcopy

import pytest

from tests.charts import checks, jobs, render, wiring
from tests.charts.objects import of_kind

BATCH = ("model-serving", "batch-everything-values.yaml")
MODEL, PLATFORM = ("model-serving", "everything-values.yaml"), ("platform", "default-values.yaml")
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
TOKEN = f"{POD} volumes 0 projected sources 0 serviceAccountToken"
RULE = "Role rules 0"
# The same in charts/platform, where somebody asks the API; its first Deployment is the front page's.
GRANTS = {
    "token for a day": (checks.hardened, f"{TOKEN} expirationSeconds", 86400),
    "token without an end": (checks.hardened, f"{TOKEN} expirationSeconds", GONE),
    "token in no container": (checks.hardened, f"{CONTAINER} volumeMounts", []),
    "token for another account": (checks.granted, f"{POD} serviceAccountName", "default"),
    "writing": (checks.granted, f"{RULE} verbs", ["get", "list", "patch"]),
    "watching": (checks.granted, f"{RULE} verbs", ["get", "list", "watch"]),
    "secrets": (checks.granted, f"{RULE} resources", ["services", "secrets"]),
    "everything": (checks.granted, f"{RULE} resources", ["*"]),
    "every group": (checks.granted, f"{RULE} apiGroups", ["*"]),
    "all namespaces": (checks.granted, "Role kind", "ClusterRole"),
    "right that is not there": (checks.granted, "RoleBinding roleRef name", "admin"),
    "right for everybody": (
        checks.granted,
        "RoleBinding subjects 0",
        {"kind": "Group", "name": "system:serviceaccounts"},
    ),
    "right for another": (checks.granted, "RoleBinding subjects 0 name", "default"),
}
JOB = "CronJob spec jobTemplate spec"
RULES = f"{JOB} podFailurePolicy rules"
# And in a release with batch jobs; its first CronJob has one shard.
JOBS = {
    "root in a CronJob": (checks.restricted, f"{JOB} template spec securityContext runAsUser", 0),
    "root in a hook": (checks.restricted, "Job spec template spec securityContext runAsUser", 0),
    "privileged CronJob": (checks.restricted, f"{JOB} template spec containers 0 securityContext privileged", True),
    "writable root in a CronJob": (
        checks.hardened,
        f"{JOB} template spec containers 0 securityContext readOnlyRootFilesystem",
        False,
    ),
    "token in a CronJob": (checks.hardened, f"{JOB} template spec automountServiceAccountToken", GONE),
    "no limits in a hook": (checks.sized, "Job spec template spec containers 0 resources limits", GONE),
    "latest in a CronJob": (checks.pinned, f"{JOB} template spec containers 0 image", "churn:latest"),
    "password in a CronJob": (
        checks.kept_secret,
        f"{JOB} template spec containers 0 env 0",
        {"name": "TRIFOLD_DATABASE_URI", "value": "postgresql://me:hunter2@db/trifold"},
    ),
    "CronJob without a label": (checks.labelled, "CronJob metadata labels app.kubernetes.io/part-of", GONE),
    "pod of a CronJob without a label": (
        checks.labelled,
        f"{JOB} template metadata labels app.kubernetes.io/instance",
        GONE,
    ),
    "CronJob's name": (checks.named, "CronJob metadata name", "a" * 53),
    "last shard's name": (checks.named, f"{JOB} completions", 10**50),
    "restarted containers": (jobs.ending, f"{JOB} template spec restartPolicy", "OnFailure"),
    "restarted by default": (jobs.ending, "Job spec template spec restartPolicy", GONE),
    "no deadline": (jobs.ending, f"{JOB} activeDeadlineSeconds", GONE),
    "no deadline of a hook": (jobs.ending, "Job spec activeDeadlineSeconds", GONE),
    "tries without end": (jobs.ending, f"{JOB} backoffLimitPerIndex", GONE),
    "no policy on failures": (jobs.ending, f"{JOB} podFailurePolicy", GONE),
    "lost nodes counted": (jobs.ending, f"{RULES} 0", GONE),
    "lost nodes given up": (jobs.ending, f"{RULES} 0 action", "FailJob"),
    "two answers to a code": (jobs.ending, f"{RULES} 2 onExitCodes values", [70, 65]),
    "another container's exit": (jobs.ending, f"{RULES} 1 onExitCodes containerName", "score"),
    "two slots at once": (jobs.scheduled, "CronJob spec concurrencyPolicy", "Replace"),
    "concurrent by default": (jobs.scheduled, "CronJob spec concurrencyPolicy", GONE),
    "late for ever": (jobs.scheduled, "CronJob spec startingDeadlineSeconds", GONE),
    "never in time": (jobs.scheduled, "CronJob spec startingDeadlineSeconds", 5),
    "zone of the control plane": (jobs.scheduled, "CronJob spec timeZone", GONE),
    "history by default": (jobs.scheduled, "CronJob spec failedJobsHistoryLimit", GONE),
    "Jobs that stay": (jobs.scheduled, f"{JOB} ttlSecondsAfterFinished", GONE),
    "two pods of a shard": (jobs.scheduled, f"{JOB} podReplacementPolicy", "TerminatingOrFailed"),
    "shards without number": (jobs.scheduled, f"{JOB} completionMode", GONE),
    "shards in a row": (jobs.scheduled, f"{JOB} parallelism", 2),
    "policy of no batch pod": (
        wiring.selected,
        "NetworkPolicy spec podSelector matchLabels app.kubernetes.io/component",
        "web",
    ),
    "hook without policy": (
        wiring.covered,
        "Job spec template metadata labels app.kubernetes.io/component",
        "migrate",
    ),
    "CronJob without policy": (wiring.covered, f"{JOB} template metadata labels app.kubernetes.io/component", "score"),
    "account of another CronJob": (wiring.mounted, f"{JOB} template spec serviceAccountName", "churn-online"),
}
ALL = {
    **{name: (BATCH, *edit) for name, edit in JOBS.items()},
    **{name: (MODEL, *edit) for name, edit in EDITS.items()},
    **{name: (PLATFORM, *edit) for name, edit in GRANTS.items()},
}


@pytest.mark.parametrize("name", ALL)
def test_a_bad_edit_is_caught(name):
    """The check that is for it complains, so that it would have failed the chart's tests."""
    values, check, path, value = ALL[name]
    good = render.objects(*values)
    assert list(check(good)) == []
    assert list(check(_edited(good, path.split(), value)))


def test_every_check_is_tried():
    """A check that nothing ever failed may see nothing."""
    assert {check for _, check, *_ in ALL.values()} == set(checks.CHECKS)


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
