"""What must be true between the objects of a render: each name and selector reaches what it means."""

from tests.charts.objects import WORKLOADS, of_kind, pods, selects, template, where


def selected(objects):
    """Selectors of workloads, budgets, policies and spread constraints select the pods they are for."""
    found = list(pods(objects))
    for item in of_kind(objects, *WORKLOADS):
        selector, labels = item["spec"]["selector"], template(item)["metadata"]["labels"]
        if not selects(selector, labels):
            yield f"{where(item)} does not select its own pods"
        others = [pod.where for pod in found if pod.where != where(item) and selects(selector, pod.labels)]
        if others:
            yield f"{where(item)} selects the pods of {', '.join(others)} as well"
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for item in of_kind(objects, kind):
            if not any(selects(item["spec"][key], pod.labels) for pod in found):
                yield f"{where(item)} selects no pod"
    for pod in found:
        for spread in pod.spec.get("topologySpreadConstraints", []):
            if not selects(spread.get("labelSelector", {"matchLabels": {"": ""}}), pod.labels):
                yield f"{pod.where} is spread by other pods than its own"


def served(objects):
    """A Service selects pods that run on, and its target ports are theirs."""
    for item in of_kind(objects, "Service"):
        selector = {"matchLabels": item["spec"]["selector"]}
        behind = [pod for pod in pods(objects) if selects(selector, pod.labels)]
        if not behind or not all(pod.runs_on for pod in behind):
            yield f"{where(item)} selects {[pod.where for pod in behind]}"
        for port in item["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            yield from (f"{where(item)}: {pod.where} has no port {target}" for pod in behind if target not in pod.ports)


def scaled(objects):
    """An autoscaler scales a workload that is there."""
    there = {where(item) for item in of_kind(objects, *WORKLOADS)}
    for item in of_kind(objects, "HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]
        if f"{target['kind']} {target['name']}" not in there:
            yield f"{where(item)} scales {target['kind']} {target['name']}, which is not there"


def let_through(objects):
    """A policy lets in at ports that the pods have, and out to ports that their neighbours in the release have."""
    found = list(pods(objects))
    for item in of_kind(objects, "NetworkPolicy"):
        own = [pod for pod in found if selects(item["spec"]["podSelector"], pod.labels)]
        for rule in item["spec"].get("ingress", []):
            if not rule.get("ports"):
                yield f"{where(item)} lets in at every port"
            yield from (f"{where(item)}: {what}" for what in _closed(rule, own))
        for rule in [*item["spec"].get("ingress", []), *item["spec"].get("egress", [])]:
            for peer in [*rule.get("from", []), *rule.get("to", [])]:
                if "podSelector" not in peer or "namespaceSelector" in peer:
                    continue
                near = [pod for pod in found if selects(peer["podSelector"], pod.labels)]
                if not near:
                    yield f"{where(item)} names a peer that is no pod of the release: {peer}"
                if "to" in rule:
                    yield from (f"{where(item)}: {what}" for what in _closed(rule, near))


def covered(objects):
    """Every pod has a policy that lets it do something: the namespaces of ours forbid all that none allows."""
    policies = of_kind(objects, "NetworkPolicy")
    for pod in pods(objects):
        if not any(selects(item["spec"]["podSelector"], pod.labels) for item in policies):
            yield f"{pod.where} has no NetworkPolicy"


def routed(objects):
    """An Ingress or an HTTPRoute sends to a Service and a port that are there."""
    ports = {
        (item["metadata"]["name"], port.get(key))
        for item in of_kind(objects, "Service")
        for port in item["spec"]["ports"]
        for key in ("name", "port")
    }
    for item in of_kind(objects, "Ingress"):
        for rule in item["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                port = service["port"].get("name") or service["port"].get("number")
                if (service["name"], port) not in ports:
                    yield f"{where(item)} sends to {service}"
    for item in of_kind(objects, "HTTPRoute"):
        for rule in item["spec"]["rules"]:
            yield from (
                f"{where(item)} sends to {to}" for to in rule["backendRefs"] if (to["name"], to["port"]) not in ports
            )


def mounted(objects):
    """Accounts and ConfigMaps that pods name are of the release, and every mount has its volume."""
    there = {where(item) for item in objects}
    for pod in pods(objects):
        account = pod.spec.get("serviceAccountName", "default")
        if account != "default" and f"ServiceAccount {account}" not in there:
            yield f"{pod.where} runs as {account}, which is not there"
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
        for volume in volumes.values():
            name = volume.get("configMap", {}).get("name")
            if name and f"ConfigMap {name}" not in there:
                yield f"{pod.where} mounts ConfigMap {name}, which is not there"
        for container in pod.containers:
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{pod.where}: {container['name']} mounts {mount['name']}, which is not there"


def _closed(rule, reached):
    ports = [port["port"] for port in rule.get("ports", [])]
    return [f"{pod.where} has no port {port}" for port in ports for pod in reached if port not in pod.ports]


WIRING = (selected, served, scaled, let_through, covered, routed, mounted)
