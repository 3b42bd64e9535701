"""Trifold: one shard of one slot, from freezing its input to the commit that publishes it."""

import os

from worker import measured

from trifold.batch import slots
from trifold.batch.job import Job
from trifold.batch.score import scorer_of
from trifold.batch.store import COMMITTED
from trifold.settings import Settings

settings = Settings.from_environment(os.environ)
scorer = scorer_of(Job.from_text(os.environ["TRIFOLD_JOB"]), 0, settings, settings.model, os.environ)


def work():
    """Score the slot."""
    run = scorer.run(slots.parse_slot("2026-11-23T05:00Z"))
    assert run.state == COMMITTED, run


measured(work)
