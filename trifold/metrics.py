"""Metrics in Prometheus' format, one set of names for all modes."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the text and nobody reads them

REGISTRY = CollectorRegistry()
REQUESTS = Counter("trifold_requests", "Requests by route and status.", ["route", "status"], registry=REGISTRY)
SECONDS = Histogram(
    "trifold_request_seconds",
    "Seconds from a request's first byte to its answer, by route.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
ROWS = Counter("trifold_rows", "Rows predicted, by mode.", ["mode"], registry=REGISTRY)
REJECTS = Counter("trifold_rejects", "Rejects, by mode and rule.", ["mode", "rule"], registry=REGISTRY)
WAITING = Gauge("trifold_waiting", "Requests that wait for the model.", registry=REGISTRY)
MODEL = Info("trifold_model", "The model that this process carries.", registry=REGISTRY)


def render() -> bytes:
    """All metrics as Prometheus' text format 0.0.4."""
    return generate_latest(REGISTRY)
