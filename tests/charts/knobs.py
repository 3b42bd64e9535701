"""How each value is changed to see that it does something: what cannot be guessed, and what it needs beside it."""

PEERS = [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
COMMON = {
    "image.digest": "sha256:" + "8" * 64,
    "imagePullSecrets": [{"name": "other"}],
    "resources": {"requests": {"cpu": "77m"}},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "egress": [{"to": PEERS, "ports": [{"port": 5432}]}],
}
OTHER = {
    "model-serving": {
        **COMMON,
        "model.version": "4",
        "model.runId": "a" * 32,
        "model.digest": "b" * 64,
        "model.parity": "native",
        "model.title": "Who stays?",
        "autoscaling.averageCpu": "500m",
        "networkPolicy.gateway": PEERS,
        "networkPolicy.monitoring": PEERS,
        "ingress.annotations": {"example.com/limit": "10m"},
        "ingress.tls": [{"hosts": ["churn.example.com"], "secretName": "churn-tls"}],
        "httpRoute.parentRefs": [{"name": "private"}],
        "httpRoute.hostnames": ["models.example.com"],
        "httpRoute.path": "/churn",
        "topologySpreadConstraints": [],
        "podAnnotations": {"example.com/scrape": "true"},
        "batch.jobs": {"weekly": {"shards": 2}},
        "batch.defaults.schedule": "@daily",
        "batch.defaults.timeZone": "Europe/Berlin",
        "batch.defaults.keep": ["segment"],
        "batch.defaults.maxRejectRate": 0.5,
        "batch.defaults.source.files": "s3://lake/other.csv",
        "batch.defaults.sink.files": "s3://lake/predictions",
        "s3.endpointUrl": "https://s3.example.com",
        "report.trackingUri": "http://mlflow.platform:5000",
        "stream.topic": "flights",
        "stream.where": {"type": "booking.created"},
        "stream.fields": {"distance": "trip.distance"},
        "stream.keep": ["id"],
        "stream.createTopics": {"enabled": True},
        "stream.kafka.properties": {"bootstrap.servers": "kafka.example.com:9092"},
        "podLabels": {"team": "growth"},
    },
    "platform": {
        **COMMON,
        "storage.size": "77Gi",
        "service.nodePort": 30777,
        "kafka.topics": {"rides": {"partitions": 3}},
        "kafka.outside": "127.0.0.1:9092",
        "allow.namespaces": ["notebooks"],
        "allow.cidrs": ["192.0.2.0/24"],
        "mlflow.allowedHosts": ["mlflow.example.com"],
        "mlflow.artifactsDestination": "s3://models/mlflow",
        "mlflow.backendStoreUriFrom": {"secretKeyRef": {"name": "database", "key": "uri"}},
        "s3.endpointUrl": "https://s3.example.com",
        "limits.body": "77m",
        "apiServer.cidrs": ["192.0.2.0/24"],
        "apiServer.ports": [8443],
    },
}
"""Another value, by chart and the end of its path."""

S3 = {"mlflow": {"artifactsDestination": "s3://models"}}
LAKE = "s3://lake/customers.csv"
BATCH = {
    "enabled": True,
    "jobs": {"weekly": {}},
    "defaults": {"schedule": "@hourly", "source": {"query": "SELECT 1"}},
    "database": {"existingSecret": "database"},
}
DATABASE = {"existingSecret": "database", "ownerSecret": ""}
STREAM = {"enabled": True, "topic": "rides", "database": DATABASE}
KAFKA = {"enabled": True, "topic": "rides", "sink": "kafka"}
CONTEXT = {
    "model-serving": {
        "online.replicas": {"online": {"autoscaling": {"enabled": False}}},
        "online.ingress": {"online": {"ingress": {"enabled": True, "host": "churn.example.com"}}},
        "batch.defaults.source.files": {
            "batch": {**BATCH, "defaults": {"schedule": "@hourly", "source": {"files": LAKE}}}
        },
        "batch.defaults.source.encoding": {
            "batch": {**BATCH, "defaults": {"schedule": "@hourly", "source": {"files": LAKE}}}
        },
        "batch": {"batch": BATCH},
        "stream.output": {"stream": KAFKA},
        "stream.autoscaling": {"stream": {**STREAM, "autoscaling": {"enabled": True}}},
        "stream.keda": {"stream": {**STREAM, "keda": {"enabled": True}}},
        "stream": {"stream": STREAM},
        "online.httpRoute": {"online": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}},
    },
    "platform": {
        "postgres.enabled": {"mlflow": {"enabled": False}},
        "mlflow.s3": S3,
        **{
            f"{part}.service.nodePort": {part: {"service": {"type": "NodePort"}}}
            for part in ("postgres", "mlflow", "gateway")
        },
        "kafka.service.nodePort": {"kafka": {"outside": "127.0.0.1:9092", "service": {"type": "NodePort"}}},
    },
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
    for end, other in OTHER[chart].items():
        if f".{path}".endswith(f".{end}"):
            return other
    if "enum" in schema:
        return next(other for other in schema["enum"] if other != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    assert isinstance(value, str), f"tests/charts/knobs.py has no other value for {path} of {chart}"
    return value + "x"
