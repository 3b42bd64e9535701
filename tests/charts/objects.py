"""Finding one's way among rendered objects."""

from dataclasses import dataclass

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True)
class Pod:
    """A pod as an object asks for it.

    Attributes:
        where: Kind and name of the object.
        labels: The pod's labels.
        spec: The pod's spec.
        runs_on: Whether it is meant to run until it is stopped.
    """

    where: str
    labels: dict
    spec: dict
    runs_on: bool

    @property
    def containers(self):
        """All its containers, those that run first too."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def ports(self):
        """Its ports, by number and by name."""
        ports = [port for container in self.spec["containers"] for port in container.get("ports", [])]
        return {port["containerPort"] for port in ports} | {port["name"] for port in ports if "name" in port}


def where(item):
    """Kind and name."""
    return f"{item['kind']} {item['metadata']['name']}"


def of_kind(objects, *kinds):
    """The objects of some kinds."""
    return [item for item in objects if item["kind"] in kinds]


def job(item):
    """The spec of a Job, or of those that a CronJob makes."""
    return item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"]


def template(item):
    """The pod, as it stands in the object; None if there is none."""
    if item["kind"] == "Pod":
        return item
    return job(item).get("template") if item["kind"] in (*WORKLOADS, "Job", "CronJob") else None


def pods(objects):
    """All pods that the objects ask for."""
    for item in objects:
        if found := template(item):
            labels = found["metadata"].get("labels", {})
            yield Pod(where(item), labels, found["spec"], item["kind"] in WORKLOADS)


def selects(selector, labels):
    """Whether a LabelSelector selects what has these labels; an empty one selects all."""
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", [])
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        labels.get(item["key"]) in item.get("values", [labels.get(item["key"])]) and item["key"] in labels
        for item in expressions
    )
