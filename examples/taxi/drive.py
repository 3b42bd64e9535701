"""Replay bookings and starts of rides onto the topic `rides`, and watch predictions come back beside their events.

Example: python examples/taxi/drive.py --rate 500 --seconds 60      (after `make taxi`)
"""

import argparse
import io
import json
import os
import re
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from events import BOOKED, STARTED, TOPIC, events
from rich.console import Console
from rich.live import Live
from rich.table import Table

from trifold.database import Database
from trifold.errors import TrifoldError
from trifold.ops.terminal import console, print_line

RELEASES = {"taxi-fare": BOOKED, "tip": BOOKED, "trip-duration": STARTED}
"""Each release and the events that concern it."""
UNITS = {"taxi-fare": "{:.2f} $", "trip-duration": "{:.0f} min", "tip": "{}"}
SHOWN = 8
"""Rides in the live view."""
PATIENCE = 30
"""Seconds without a new prediction until the rest is given up."""
STEP = 0.02


class Unfinished(TrifoldError):
    """Predictions are missing."""


@dataclass
class Sent:
    """What the producer has sent so far."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    done: bool = False


@dataclass
class Seen:
    """What a release has predicted of this run."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    latest: dict[str, tuple[float, Any]] = field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> int:
    """Send, watch and compare; 0 if every event has its prediction."""
    options = parse(argv)
    run = f"run-{secrets.token_hex(3)}"
    try:
        uris = {release: options.database or database_of(release) for release in RELEASES}
        databases = {release: Database(uri, autocommit=True, seconds=10) for release, uri in uris.items()}
        sent = Sent()
        producing = threading.Thread(target=produce, args=(options, run, sent), daemon=True)
        producing.start()
        seen = watch(databases, run, sent)
        producing.join()
        if options.picture:
            draw(view(sent, seen), options.picture)
        report(sent, seen)
    except KeyboardInterrupt:
        return 130
    except TrifoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=500, help="events a second (default: 500)")
    parser.add_argument("--seconds", type=int, default=60, help="how long to send (default: 60)")
    port = os.environ.get("TRIFOLD_KAFKA_PORT", "9092")
    parser.add_argument("--bootstrap", default=f"127.0.0.1:{port}", help="the broker (default: that of make up)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the last view as SVG")
    parser.add_argument(
        "--database",
        default="",
        metavar="URI",
        help="PostgreSQL with the predictions (default: by the cluster's Secrets)",
    )
    return parser.parse_args(argv)


def database_of(release: str) -> str:
    """The URI of a release's database, from its Secret, as it is reached from here.

    Raises:
        DeployError: The cluster does not answer, or there is no such Secret.
    """
    import base64

    from kubernetes import client

    from trifold.ops import helm, kube

    kube.connect(helm.context())
    with kube.asked(f'show the Secret {release}-database; run make taxi first, and eval "$(make -s env)"'):
        secret: Any = client.CoreV1Api().read_namespaced_secret(f"{release}-database", "models", _request_timeout=10)
    who, _, where = base64.b64decode(secret.data["uri"]).decode().rpartition("@")
    return f"{who}@127.0.0.1:{os.environ.get('TRIFOLD_POSTGRES_PORT', '5432')}/{where.partition('/')[2]}"


def produce(options: argparse.Namespace, run: str, sent: Sent) -> None:
    """Send events at an even rate, in order for each ride."""
    producer = Producer({"bootstrap.servers": options.bootstrap, "linger.ms": 5, "acks": "all", "log_level": 0})
    began = time.monotonic()
    for number, (key, value) in enumerate(events(run, options.rate * options.seconds)):
        ahead = number / options.rate - (time.monotonic() - began)
        if ahead > STEP:
            producer.poll(ahead)
        producer.produce(TOPIC, value, key, on_delivery=lambda error, _: error and sent.failed.append(str(error)))
        sent.counts[json.loads(value)["type"]] += 1
    left = producer.flush(30)
    if left:
        sent.failed.append(f"{left} events were not taken by {options.bootstrap} within 30 s")
    sent.done = True


def watch(databases: dict[str, Database], run: str, sent: Sent) -> dict[str, Seen]:
    """Show how far it is, until every event has its predictions or none comes any more."""
    seen = {release: Seen() for release in databases}
    total, since = -1, time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while True:
            for release, database in databases.items():
                look(database, release, run, seen[release])
            live.update(view(sent, seen))
            now = sum(one.count for one in seen.values())
            if now != total:
                total, since = now, time.monotonic()
            complete = all(seen[name].count >= sent.counts[kind] for name, kind in RELEASES.items())
            if sent.done and (complete or time.monotonic() - since > PATIENCE):
                return seen
            time.sleep(0.5)


def look(database: Database, release: str, run: str, seen: Seen) -> None:
    """Ask a release's view how far it is, and what it predicted last."""
    mine = f"FROM \"{release.replace('-', '_')}\".event_predictions WHERE topic = $1 AND key LIKE $2 || '-%'"
    ms = "extract(epoch FROM scored_at - event_at)::float8 * 1000"
    quantiles = ", ".join(f"percentile_disc({part}) WITHIN GROUP (ORDER BY {ms})" for part in (0.5, 0.99))
    [(seen.count, p50, p99)] = database.rows(f"SELECT count(*), {quantiles} {mine}", TOPIC, run)
    seen.p50, seen.p99 = p50 or 0.0, p99 or 0.0
    columns = "key, (kept->>'distance')::float8, prediction"
    newest = database.rows(f"SELECT {columns} {mine} ORDER BY scored_at DESC LIMIT 400", TOPIC, run)
    seen.latest.update({key: (distance, prediction) for key, distance, prediction in newest})


def view(sent: Sent, seen: dict[str, Seen]) -> Table:
    """Two tables in one: how far each release is, and the newest rides that all of them know."""
    counts = Table("release", "events", *[_right(name) for name in ("sent", "predicted", "waiting", "p50", "p99")])
    for release, kind in RELEASES.items():
        one = seen[release]
        waiting = max(0, sent.counts[kind] - one.count)
        counts.add_row(release, kind, f"{sent.counts[kind]:,}", f"{one.count:,}", f"{waiting:,}",
                       f"{one.p50:.0f} ms", f"{one.p99:.0f} ms")  # fmt: skip
    rides = Table("ride", _right("miles"), *[_right(release) for release in RELEASES])
    known = sorted(set.intersection(*(set(one.latest) for one in seen.values())))[-SHOWN:]
    for key in known:
        distance = seen["tip"].latest[key][0]
        rides.add_row(key, f"{distance:.1f}", *[UNITS[name].format(one.latest[key][1]) for name, one in seen.items()])
    both = Table.grid()
    both.add_row(counts)
    both.add_row(rides if known else "")
    return both


def draw(table: Table, file: Path) -> None:
    """Write a table as a terminal shows it, as SVG; without the font that Rich would fetch from another host."""
    picture = Console(record=True, width=90, file=io.StringIO())
    picture.print(table)
    svg = picture.export_svg(title="python examples/taxi/drive.py")
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))


def _right(name: str) -> Any:
    from rich.table import Column

    return Column(name, justify="right")


def report(sent: Sent, seen: dict[str, Seen]) -> None:
    """Say whether each event has its prediction.

    Raises:
        Unfinished: One has not.
    """
    if sent.failed:
        raise Unfinished(f"{len(sent.failed):,} events were not sent: {sent.failed[0]}")
    missing = {name: sent.counts[kind] - seen[name].count for name, kind in RELEASES.items()}
    if any(missing.values()):
        words = ", ".join(f"{name} {count:,}" for name, count in missing.items() if count)
        raise Unfinished(f"Predictions are missing or too many: {words}; trifold status shows the consumers.")
    total = sum(one.count for one in seen.values())
    print_line(f"{sum(sent.counts.values()):,} events, {total:,} predictions: each event counts once for each model.")


if __name__ == "__main__":
    sys.exit(main())
