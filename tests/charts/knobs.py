"""How each value is changed to see that it does something: what cannot be guessed, and what it needs beside it."""

DIGEST = "sha256:" + "8" * 64
PEERS = [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
RULES = [{"to": PEERS, "ports": [{"port": 5432}]}]
SIZES = {"requests": {"cpu": "77m"}}
PLACES = {
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
}

OTHER = {
    "model-serving": {
        "model.version": "4",
        "model.runId": "a" * 32,
        "model.digest": "b" * 64,
        "model.parity": "native",
        "image.digest": DIGEST,
        "imagePullSecrets": [{"name": "registry"}],
        "online.resources": SIZES,
        "online.autoscaling.averageCpu": "500m",
        "online.networkPolicy.gateway": PEERS,
        "online.networkPolicy.monitoring": PEERS,
        "online.networkPolicy.egress": RULES,
        "online.ingress.annotations": {"example.com/limit": "10m"},
        "online.ingress.tls": [{"hosts": ["churn.example.com"], "secretName": "churn-tls"}],
        "online.httpRoute.parentRefs": [{"name": "private"}],
        "online.httpRoute.hostnames": ["models.example.com"],
        "online.httpRoute.path": "/churn",
        **PLACES,
        "topologySpreadConstraints": [],
        "podAnnotations": {"example.com/scrape": "true"},
        "podLabels": {"team": "growth"},
    },
    "platform": {},
}
"""Another value, by chart and path."""

CONTEXT = {
    "model-serving": {
        "online.replicas": {"online": {"autoscaling": {"enabled": False}}},
        "online.ingress": {"online": {"ingress": {"enabled": True, "host": "churn.example.com"}}},
        "online.httpRoute": {"online": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}},
    },
    "platform": {},
}
"""Values without which one has no effect, by chart and the beginning of its path."""

REFUSED = {"model-serving": {"interface"}, "platform": set()}
"""What has one value only; another is refused by a rule."""

FILE = {"model-serving": "minimal-values.yaml", "platform": "default-values.yaml"}
"""The values file in which each value is changed."""


def context(chart, path):
    """The values that one needs beside it."""
    return next((values for start, values in CONTEXT[chart].items() if path.startswith(start)), {})


def otherwise(chart, path, value, schema):
    """Another value than this one, which the schema allows."""
    if path in OTHER[chart]:
        return OTHER[chart][path]
    if "enum" in schema:
        return next(other for other in schema["enum"] if other != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    assert isinstance(value, str), f"tests/charts/knobs.py has no other value for {path} of {chart}"
    return value + "x"
