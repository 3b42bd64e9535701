"""The charts as `helm template` renders them, each rendering made once."""

import json
import shutil
import subprocess
from functools import cache

import pytest
import yaml

from k8s.kind.settings import read
from tests.charts.leaves import CHARTS, NAMES

RELEASE = "churn"
LONGEST = "a" * 38 + "-z"
"""A release's name of the most characters that one may have."""

charts = pytest.mark.parametrize("chart", NAMES)


class Refused(Exception):
    """Helm renders no objects from these values; the message is what it said."""


def cases(chart=None):
    """(chart, values file) for each file in ci/, of one chart or of all."""
    found = sorted(CHARTS.glob(f"{chart or '*'}/ci/*-values.yaml"))
    return [pytest.param(path.parts[-3], path.name, id=f"{path.parts[-3]}-{path.stem}") for path in found]


def objects(chart, file, *, release=RELEASE, values=None):
    """The objects of a release with a values file of ci/ and, over it, some values."""
    return [
        found for found in yaml.load_all(text(chart, file, release=release, values=values), yaml.CSafeLoader) if found
    ]


def text(chart, file, *, release=RELEASE, values=None):
    """What `helm template` prints for it.

    Raises:
        Refused: The schema or a rule of the chart refuses it.
    """
    return _text(chart, file, release, json.dumps(values or {}, sort_keys=True))


def run(*arguments, stdin=None):
    """Run Helm; skips where there is none."""
    argv = [_helm(), *map(str, arguments)]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)


def notes(chart, file, *, namespace, values=None):
    """What `helm install` would say in the end."""
    where = [RELEASE, CHARTS / chart, "--namespace", namespace, "--dry-run=client"]
    done = run(
        "install", *where, "--values", CHARTS / chart / "ci" / file, "--values", "-", stdin=json.dumps(values or {})
    )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout.partition("NOTES:")[2]


def fresh(chart, file, release=RELEASE, overlay="{}"):
    """What `helm template` prints, run anew."""
    files = [*(["--values", CHARTS / chart / "ci" / file] if file else []), "--values", "-"]
    done = run("template", release, CHARTS / chart, "--namespace", "models", *files, stdin=overlay)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


_text = cache(fresh)


def _helm():
    found = shutil.which("helm") or shutil.which("helm", path=read().bin)
    if not found:
        pytest.skip("helm is not there: make cluster puts it into the cache")
    return found
