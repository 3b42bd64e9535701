"""charts/model-serving: what it refuses, before anything is sent to the cluster."""

import re

import pytest

from tests.charts import render

CHART = "model-serving"
LOCK = "minimal-values.yaml"
RULES = {
    "another interface": (
        {"interface": 2},
        "This chart speaks interface 1 and the lock file 2: build the model again with this Trifold, or take the chart "
        "that belongs to it.",
    ),
    "no image": (
        {"image": {"repository": ""}},
        "image.repository not set: give the lock file that `trifold build` writes, -f <model>.lock.yaml.",
    ),
    "no digest": (
        {"model": {"digest": ""}},
        "model.digest not set: give the lock file that `trifold build` writes, -f <model>.lock.yaml.",
    ),
    "no name and no version": (
        {"model": {"name": "", "version": ""}},
        "model.name, model.version not set: give the lock file that `trifold build` writes, -f <model>.lock.yaml.",
    ),
    "no tag and no digest": (
        {"image": {"tag": ""}},
        "image.tag not set: give the lock file that `trifold build` writes, -f <model>.lock.yaml.",
    ),
    "latest": (
        {"image": {"tag": "latest"}},
        "image.tag is latest, which is another image every day: set the tag of the lock file, or image.digest.",
    ),
    "fewest pods above most": (
        {"online": {"autoscaling": {"minReplicas": 5}}},
        "online.autoscaling.minReplicas is 5 and maxReplicas 4: set maxReplicas to no less.",
    ),
    "Ingress without host": (
        {"online": {"ingress": {"enabled": True}}},
        "The Ingress has no host, and a release answers at the root of one: set online.ingress.host.",
    ),
    "HTTPRoute without Gateway": (
        {"online": {"httpRoute": {"enabled": True}}},
        "No Gateway takes the HTTPRoute: set online.httpRoute.parentRefs, "
        "such as [{name: public, namespace: gateways}].",
    ),
    "a label of the chart's": (
        {"podLabels": {"app.kubernetes.io/component": "web"}},
        "podLabels sets app.kubernetes.io/component, and app.kubernetes.io/… is the chart's: take another prefix.",
    ),
    "an annotation of the chart's": (
        {"podAnnotations": {"trifold.dev/digest": ""}},
        "podAnnotations sets trifold.dev/digest, and trifold.dev/… is the chart's: take another prefix.",
    ),
}
REFUSED_NAME = (
    "The gateway lets no release through that is named {}: take at most 40 of a-z, 0-9 and -, without - at an end."
)
SCHEMA = {
    "a version that is a number": {"model": {"version": 3}},
    "a digest that is none": {"model": {"digest": "abc"}},
    "a tag in the repository": {"image": {"repository": "trifold/churn:v3"}},
    "no budget at all": {"online": {"podDisruptionBudget": {"maxUnavailable": 0}}},
    "pods without limits": {"online": {"resources": {"limits": None}}},
    "a peer that is everybody": {"online": {"networkPolicy": {"gateway": [{}]}}},
    "a path that is none": {"online": {"httpRoute": {"path": "churn/"}}},
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_what_is_wrong_and_what_to_set(name):
    """Refused before anything is sent, in a sentence."""
    values, message = RULES[name]
    with pytest.raises(render.Refused) as refused:
        render.text(CHART, LOCK, values=values)
    assert message in str(refused.value)


@pytest.mark.parametrize("release", ["a" * 41, "churn.v2", "a.b"])
def test_a_name_that_the_gateway_lets_not_through_is_refused(release):
    """It would be installed and never be reached."""
    with pytest.raises(render.Refused, match=re.escape(REFUSED_NAME.format(release))):
        render.text(CHART, LOCK, release=release)


def test_every_rule_is_tested():
    """All that a chart refuses stands in one file, and each of its messages above."""
    folder = render.CHARTS / CHART / "templates"
    calls = {path: re.findall(r'\bfail (?:\(printf )?"([^"]+)"', path.read_text()) for path in folder.rglob("*.*")}
    rules = calls.pop(folder / "validate" / "rules.yaml")
    assert not any(calls.values())
    said = [message for _, message in RULES.values()] + [REFUSED_NAME.format("a.b")]
    for rule in rules:
        pattern = re.sub(r"%[sd]", ".*", re.escape(rule))
        assert any(re.fullmatch(pattern, message) for message in said), rule


@pytest.mark.parametrize("name", SCHEMA)
def test_the_schema_refuses(name):
    """What would fail later, or worse not at all, is refused where it is written."""
    with pytest.raises(render.Refused, match="values don't meet the specifications of the schema"):
        render.text(CHART, LOCK, values=SCHEMA[name])


def test_without_a_lock_file_the_message_names_it():
    """`helm install churn charts/model-serving` is what people try first."""
    with pytest.raises(render.Refused, match="give the lock file that `trifold build` writes"):
        render.text(CHART, None)
