"""The CronJobs of charts/model-serving as rendered, and what their pods are told."""

import re

import yaml

from tests.charts import render
from tests.charts.objects import of_kind, template

CHART = "model-serving"
LOCK, ONE, EVERYTHING = "minimal-values.yaml", "batch-values.yaml", "batch-everything-values.yaml"
QUERY = {"query": "SELECT 1"}
DATABASE = {"existingSecret": "database"}


def cron_jobs(file, **values):
    """The CronJobs by job."""
    return {
        item["metadata"]["labels"]["trifold.dev/job"]: item
        for item in of_kind(render.objects(CHART, file, values=values), "CronJob")
    }


def batch(**values):
    """The CronJobs of a release with these values of `batch`."""
    return cron_jobs(LOCK, batch={"enabled": True, "database": DATABASE, **values})


def environment(item):
    """The environment of an object's container, as the kubelet makes it; what comes from elsewhere as (where, key)."""
    [container] = template(item)["spec"]["containers"]
    found = {}
    for entry in container["env"]:
        source = entry.get("valueFrom", {})
        if secret := source.get("secretKeyRef"):
            found[entry["name"]] = (secret["name"], secret["key"])
        elif field := source.get("fieldRef"):
            found[entry["name"]] = ("field", field["fieldPath"])
        else:
            found[entry["name"]] = expanded(entry["value"], found)
    return found


def expanded(value, known):
    """What the kubelet makes of a value: $(NAME) of what stands before it, and $ of $$."""
    return re.sub(
        r"\$(?:(\$)|\(([^)]*)\))",
        lambda found: "$" if found[1] else str(known.get(found[2], found[0])),
        value,
    )


def settings(values, name):
    """A job's settings as the documentation has it: its own over batch.defaults, of the values and of the chart."""
    chart = yaml.safe_load((render.CHARTS / CHART / "values.yaml").read_text())["batch"]["defaults"]
    layers = [chart, values["batch"].get("defaults", {}), values["batch"]["jobs"][name]]
    found = {}
    for layer in layers:
        for key, value in layer.items():
            found[key] = {**found.get(key, {}), **value} if isinstance(value, dict) else value
    return found
