"""What must be true of every render, as functions from objects to complaints."""

import re

from tests.charts.jobs import JOBS, made
from tests.charts.objects import of_kind, pods, template, where
from tests.charts.wiring import WIRING

UID = 1034
LABELS = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of")}
OBJECT_LABELS = LABELS | {"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SECRET = re.compile(r"(?i)passw|secret|token|_key\b|credential")
SECRET_VALUE = re.compile(r"://[^/\s:]+:[^/\s@$]+@")
GRANTS = ("Role", "RoleBinding")
"""A right is given where what it is for is, which may be another namespace."""
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def complaints(objects):
    """All that is wrong, a sentence each."""
    return [f"{check.__name__}: {found}" for check in CHECKS for found in check(objects)]


def restricted(objects):
    """Pod Security `restricted`, see kubernetes.io/docs/concepts/security/pod-security-standards."""
    for pod in pods(objects):
        own = pod.spec.get("securityContext", {})
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(name):
                yield f"{pod.where} has {name}"
        for volume in pod.spec.get("volumes", []):
            if set(volume) - {"name"} - VOLUMES:
                yield f"{pod.where} has a volume {volume}"
        for container in pod.containers:
            context = {**own, **container.get("securityContext", {})}
            drop, add = (set(context.get("capabilities", {}).get(name, [])) for name in ("drop", "add"))
            wrong = {
                "may run as root": context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0,
                "is privileged": context.get("privileged"),
                "may gain privileges": context.get("allowPrivilegeEscalation") is not False,
                "keeps capabilities": "ALL" not in drop or add - {"NET_BIND_SERVICE"},
                "has no seccomp profile": context.get("seccompProfile", {}).get("type")
                not in ("RuntimeDefault", "Localhost"),
                "has a host port": any(port.get("hostPort") for port in container.get("ports", [])),
            }
            yield from (f"{pod.where}: {container['name']} {what}" for what, so in wrong.items() if so)


def hardened(objects):
    """Beyond the standard: our uid by number, a read-only root, no token but a short one, no addresses of Services."""
    for pod in pods(objects):
        for name in ("automountServiceAccountToken", "enableServiceLinks"):
            if pod.spec.get(name) is not False:
                yield f"{pod.where}: {name} is not false"
        for volume, token in tokens(pod):
            mounts = {
                item["name"]
                for item in pod.containers
                for mount in item.get("volumeMounts", [])
                if mount["name"] == volume
            }
            if not (600 <= token.get("expirationSeconds", 0) <= 3600 and len(mounts) == 1):
                yield f"{pod.where}: the token in {volume} lasts over an hour, or is in {len(mounts)} containers"
        for container in pod.containers:
            context = {**pod.spec.get("securityContext", {}), **container.get("securityContext", {})}
            if not context.get("runAsUser") == context.get("runAsGroup") == UID:
                yield f"{pod.where}: {container['name']} does not run as {UID}"
            if context.get("readOnlyRootFilesystem") is not True:
                yield f"{pod.where}: {container['name']} may write to its root file system"
    for account in of_kind(objects, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{where(account)} gives out its token"


def tokens(pod):
    """The tokens of the API that a pod asks for, with the names of their volumes."""
    for volume in pod.spec.get("volumes", []):
        for source in volume.get("projected", {}).get("sources", []):
            if "serviceAccountToken" in source:
                yield volume["name"], source["serviceAccountToken"]


def granted(objects):
    """A right is to read what is named, never secrets, in one namespace; who has it is an account of the release."""
    there = {where(item) for item in objects}
    for item in of_kind(objects, "ClusterRole", "ClusterRoleBinding"):
        yield f"{where(item)} is for all namespaces"
    for item in of_kind(objects, "Role"):
        for rule in item["rules"]:
            asked = {part for key in ("apiGroups", "resources") for part in rule[key]}
            if set(rule["verbs"]) - {"get", "list"} or asked & {"*", "secrets", "configmaps"}:
                yield f"{where(item)} grants {rule['verbs']} on {rule['resources']}"
    for item in of_kind(objects, "RoleBinding"):
        if f"Role {item['roleRef']['name']}" not in there:
            yield f"{where(item)} grants {item['roleRef']['name']}, which is not there"
        for subject in item["subjects"]:
            if f"{subject['kind']} {subject['name']}" not in there or subject["kind"] != "ServiceAccount":
                yield f"{where(item)} is for {subject['kind']} {subject['name']}"
    having = {subject["name"] for item in of_kind(objects, "RoleBinding") for subject in item["subjects"]}
    for pod in pods(objects):
        if list(tokens(pod)) and pod.spec.get("serviceAccountName") not in having:
            yield f"{pod.where} has a token that may do nothing"


def sized(objects):
    """Requests and limits of CPU and memory."""
    for pod in pods(objects):
        for container in pod.containers:
            for name in ("requests", "limits"):
                missing = {"cpu", "memory"} - set(container.get("resources", {}).get(name, {}))
                if missing:
                    yield f"{pod.where}: {container['name']} has no {name} of {', '.join(sorted(missing))}"


def probed(objects):
    """Every container that runs on is asked whether it is ready and alive, at a port that it has."""
    for pod in pods(objects):
        for container in pod.spec["containers"] if pod.runs_on else []:
            for name in ("readinessProbe", "livenessProbe"):
                if not container.get(name):
                    yield f"{pod.where}: {container['name']} has no {name}"
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(name, {}).get("httpGet", {}).get("port")
                if port is not None and port not in pod.ports:
                    yield f"{pod.where}: {name} asks port {port}, which is not there"


def pinned(objects):
    """An image has a digest, or a tag that names its content."""
    for pod in pods(objects):
        for container in pod.containers:
            name, _, tag = container["image"].rpartition("/")[2].partition(":")
            if "@sha256:" not in container["image"] and (not name or tag in ("", "latest")):
                yield f"{pod.where}: {container['name']} runs {container['image']}"


def kept_secret(objects):
    """No secret stands in a render; it comes from a Secret that somebody else made."""
    yield from (f"{where(item)} is in the chart" for item in of_kind(objects, "Secret"))
    for pod in pods(objects):
        for container in pod.containers:
            for variable in container.get("env", []):
                value = str(variable.get("value", ""))
                named = SECRET.search(variable["name"]) and not value.startswith("/")  # a path to a mounted file
                if value and (named or SECRET_VALUE.search(value)):
                    yield f"{pod.where}: {variable['name']} holds its secret"


def labelled(objects):
    """Objects and pods say what they belong to; a new chart alone changes no pod, hence restarts none."""
    for item in objects:
        missing = OBJECT_LABELS - set(item["metadata"].get("labels", {}))
        if missing:
            yield f"{where(item)} lacks {', '.join(sorted(missing))}"
    for pod in pods(objects):
        if missing := LABELS - set(pod.labels):
            yield f"the pods of {pod.where} lack {', '.join(sorted(missing))}"
        if pod.runs_on and "helm.sh/chart" in pod.labels:
            yield f"the pods of {pod.where} have the chart's version in their labels"


def named(objects):
    """Names fit into a DNS label, none is taken twice, and Helm chooses the namespace."""
    seen = set()
    for item in objects:
        if not NAME.fullmatch(item["metadata"]["name"]):
            yield f"{where(item)} has a name that is none"
        if item["kind"] == "CronJob" and any(not NAME.fullmatch(name) for name in made(item)):
            yield f"{where(item)} makes names that are none: {made(item)}"
        if where(item) in seen:
            yield f"{where(item)} is there twice"
        seen.add(where(item))
        if "namespace" in item["metadata"] and item["kind"] not in GRANTS:
            yield f"{where(item)} names a namespace"


def rolled(objects):
    """A rollout takes no pod before its successor is ready; only what owns a volume has to stop first."""
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in of_kind(objects, "HorizontalPodAutoscaler")}
    for item in of_kind(objects, "Deployment"):
        strategy = item["spec"].get("strategy", {})
        claims = any("persistentVolumeClaim" in volume for volume in template(item)["spec"].get("volumes", []))
        if strategy.get("type", "RollingUpdate") == "RollingUpdate":
            if strategy.get("rollingUpdate", {}).get("maxUnavailable") != 0:
                yield f"{where(item)} takes pods before others are ready"
        elif not claims:
            yield f"{where(item)} stops in a rollout"
        if "replicas" in item["spec"] and item["metadata"]["name"] in scaled:
            yield f"{where(item)} has replicas, and an autoscaler that chooses them"


CHECKS = (
    restricted,
    hardened,
    granted,
    sized,
    probed,
    pinned,
    kept_secret,
    labelled,
    named,
    rolled,
    *JOBS,
    *WIRING,
)
