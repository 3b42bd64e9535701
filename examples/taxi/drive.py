"""Replay bookings and starts of rides onto the topic `rides`, and watch predictions come back beside their events.

Example: python examples/taxi/drive.py --rate 500 --seconds 60      (after `make taxi`)
"""

import argparse
import os
import secrets
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from events import TOPIC
from sending import Sent, produce, require_topic
from showing import RELEASES, Seen, draw, report, shown, view

from trifold.database import Database
from trifold.errors import TrifoldError, Unavailable

PATIENCE = 30
"""Seconds without a new prediction until the rest is given up."""


def main(argv: Sequence[str] | None = None) -> int:
    """Send, watch and compare; 0 if every event has its prediction."""
    options = parse(argv)
    run = f"run-{secrets.token_hex(3)}"
    try:
        require_topic(options.bootstrap)
        databases = {release: connected(release, options.database or database_of(release)) for release in RELEASES}
        sent, pace = Sent(), (options.rate, options.seconds)
        producing = threading.Thread(target=produce, args=(options.bootstrap, run, pace, sent), daemon=True)
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
    parser.add_argument("--rate", type=_positive, default=500, help="events a second (default: 500)")
    parser.add_argument("--seconds", type=_positive, default=60, help="how long to send (default: 60)")
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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def connected(release: str, uri: str) -> Database:
    """A database with a release's predictions.

    Raises:
        Unavailable: It does not answer, or holds none.
    """
    database = Database(uri, autocommit=True, seconds=10)
    [(there,)] = database.rows("SELECT to_regclass($1) IS NOT NULL", f"{schema(release)}.event_predictions")
    if not there:
        raise Unavailable(f"The database has no view {schema(release)}.event_predictions; run make taxi.")
    return database


def schema(release: str) -> str:
    """Where a release keeps its predictions, unless its values say otherwise."""
    return release.replace("-", "_")


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


def watch(databases: dict[str, Database], run: str, sent: Sent) -> dict[str, Seen]:
    """Show how far it is, until every event has its predictions or none comes any more."""
    seen = {release: Seen() for release in databases}
    began = since = time.monotonic()
    total = -1
    with shown() as show:
        while True:
            is_last = sent.done  # before it looks: what it then sees is all
            for release, database in databases.items():
                look(database, (release, run), time.monotonic() - began, seen[release])
            show(sent, seen)
            now = sum(one.count for one in seen.values())
            if now != total:
                total, since = now, time.monotonic()
            complete = all(seen[name].count >= sent.counts[kind] for name, kind in RELEASES.items())
            if is_last and (complete or sent.failed or time.monotonic() - since > PATIENCE):
                return seen
            time.sleep(0.5)


def look(database: Database, whose: tuple[str, str], seconds: float, seen: Seen) -> None:
    """Ask the view of a release how far it is with a run that began some seconds ago, and what it predicted last."""
    release, run = whose
    # By time, which has an index; of the database, whose clock may be another. A minute covers the first look.
    recent = f"scored_at > now() - make_interval(secs => {seconds + 60:.0f})"
    mine = f"FROM \"{schema(release)}\".event_predictions WHERE topic = $1 AND key LIKE $2 || '-%' AND {recent}"
    ms = "extract(epoch FROM scored_at - event_at)::float8 * 1000"
    quantiles = ", ".join(f"percentile_disc({part}) WITHIN GROUP (ORDER BY {ms})" for part in (0.5, 0.99))
    counts = "count(*), count(DISTINCT key)"
    [(seen.predictions, seen.count, p50, p99)] = database.rows(f"SELECT {counts}, {quantiles} {mine}", TOPIC, run)
    seen.p50, seen.p99 = p50 or 0.0, p99 or 0.0
    columns = "key, (kept->>'distance')::float8, prediction"
    newest = database.rows(f"SELECT {columns} {mine} ORDER BY scored_at DESC LIMIT 400", TOPIC, run)
    seen.latest.update({key: (distance, prediction) for key, distance, prediction in newest})


if __name__ == "__main__":
    sys.exit(main())
