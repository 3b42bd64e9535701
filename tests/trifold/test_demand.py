"""A client may say how long it waits, in gRPC's header; what is none is refused and not passed over."""

import json

import pytest

from trifold.online.demand import MOST_WAIT_SECONDS, Demand, busy, read_timeout
from trifold.online.refusals import Refused


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"5S", 5),
        (b"500m", 0.5),
        (b"00000020m", 0.02),
        (b"100u", 1e-4),
        (b"1n", 1e-9),
        (b"99999999H", 99_999_999 * 3600),
    ],
)
def test_a_timeout_is_read_as_grpc_writes_it(value, seconds):
    """M is minutes and m milliseconds."""
    assert read_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [b"", b"5", b"S", b"5s", b"5 S", b"-5S", b"1.5S", b"+1S", b"0S", b"00000000n", b"100000000m", b"5S\n", b"5ms",
     "٣S".encode(), b"\xff", b"x" * 10_000, b"1S, 2S"],
)  # fmt: skip
def test_what_is_no_timeout_is_refused_with_an_example(value):
    """Who sends one relies on it: to pass it over would be silently wrong."""
    with pytest.raises(Refused) as refused:
        read_timeout(value)
    status, body = refused.value.answer
    (error,) = json.loads(body)["errors"]
    assert (status, error["rule"], refused.value.headers) == (400, "timeout", [])
    assert "500m" in error["expected"]
    assert len(error["got"]) <= 200


def test_a_demand_has_the_timeout_of_its_headers():
    """Two headers are one list, as everywhere in HTTP, and a list is no timeout."""
    others = [(b"host", b"x"), (b"content-type", b"application/json")]
    assert Demand.read("/predict", others, 7) == Demand("/predict", 7, None)
    assert Demand.read("/predict", [*others, (b"grpc-timeout", b"2S")], 7) == Demand("/predict", 7, 2)
    with pytest.raises(Refused):
        Demand.read("/predict", [(b"grpc-timeout", b"2S"), (b"grpc-timeout", b"2S")], 7)


def test_patience_is_a_second_or_what_is_left_of_the_timeout():
    """The time in which a body came is the client's as well."""
    assert Demand("/predict", 7).patience(100) == MOST_WAIT_SECONDS == 1
    assert Demand("/predict", 7, 2).patience(8.5) == 0.5
    assert Demand("/predict", 7, 60).patience(8) == 59


def test_nothing_is_begun_for_a_client_whose_time_is_over():
    """It has gone, and those behind it would wait for an answer to nobody."""
    Demand("/predict", 7).require_time(1e9)
    Demand("/predict", 7, 2).require_time(9)
    with pytest.raises(Refused) as refused:
        Demand("/predict", 7, 2).require_time(9.1)
    assert refused.value.answer[0] == 503
    assert "within 2 s" in json.loads(refused.value.answer[1])["errors"][0]["expected"]


@pytest.mark.parametrize(("seconds", "told"), [(0, b"1"), (0.2, b"1"), (1, b"1"), (1.01, b"2"), (58.5, b"59")])
def test_who_is_told_to_come_back_is_told_when(seconds, told):
    """Whole seconds, rounded up, so that there is room then; HTTP has no smaller ones."""
    assert busy("a", "b", seconds).headers == [(b"retry-after", told)]
