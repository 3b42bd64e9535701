"""Metrics in Prometheus' format, one set of names for all modes."""

from collections.abc import Iterator

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from trifold.rows import Array

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
LAG = Gauge("trifold_lag", "Events that wait, by topic and partition.", ["topic", "partition"], registry=REGISTRY)
PASSED = Counter("trifold_events_passed", "Events passed over, by reason.", ["reason"], registry=REGISTRY)
DEAD = Counter("trifold_dead_letters", "Dead letters, by the rule of their first reject.", ["rule"], registry=REGISTRY)
REBALANCES = Counter("trifold_rebalances", "Partitions given or taken.", ["what"], registry=REGISTRY)
FAILURES = Counter("trifold_stream_failures", "Batches that were begun again.", registry=REGISTRY)
BATCHES = Histogram(
    "trifold_batch_events",
    "Events in a transaction.",
    buckets=(1, 5, 10, 50, 100, 500, 1000, 2000, 5000),
    registry=REGISTRY,
)
MODEL = Info("trifold_model", "The model that this process carries.", registry=REGISTRY)


class Seconds(Collector):
    """A histogram of many observations at once, which prometheus_client takes one by one."""

    def __init__(self, name: str, words: str, buckets: tuple[float, ...]) -> None:
        self._name, self._words, self._buckets = name, words, buckets
        self._counts, self._sum = np.zeros(len(buckets) + 1, dtype=np.int64), 0.0

    def observe(self, seconds: Array) -> None:
        """Count an array of seconds."""
        places = np.searchsorted(self._buckets, seconds)
        self._counts = self._counts + np.bincount(places, minlength=len(self._counts))
        self._sum += float(seconds.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """See Collector."""
        totals = np.cumsum(self._counts)
        names = [*map(floatToGoString, self._buckets), "+Inf"]
        buckets = list(zip(names, map(float, totals), strict=True))
        yield HistogramMetricFamily(self._name, self._words, buckets=buckets, sum_value=self._sum)


LATENCY = Seconds(
    "trifold_event_seconds",
    "Seconds from an event's time to its committed prediction.",
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
REGISTRY.register(LATENCY)


def render() -> bytes:
    """All metrics as Prometheus' text format 0.0.4."""
    return generate_latest(REGISTRY)
