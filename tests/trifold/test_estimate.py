"""How long a request will have to wait is estimated from what was measured, by kind of body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trifold.online.estimate import EACH_BYTE, Cost, Pace, Queue

SMALL, LARGE = ("/predict", 8), ("/predict", 20)
SECONDS = st.floats(1e-4, 100)


def serve(queue, ticket, now):
    """Do the work for a ticket, until now."""
    ticket.begun = True
    queue.leave(ticket, now)


def test_the_start_value_is_the_line_through_what_was_measured():
    """Before anything was asked, a model of 4 ms and 1 ms a row is known as such, whatever the body."""
    cost = Cost.fit([(1, 0.005), (2, 0.006), (101, 0.105)], 50)
    assert cost.once == 0.005
    assert cost.each_byte == pytest.approx(0.001 / 50 + EACH_BYTE)


@pytest.mark.parametrize("times", [[(1, 0.2)], [(1, 0.2), (16, 0.1)]])
def test_a_start_value_is_never_negative(times):
    """A second measurement that was faster by chance, or none, must not make long bodies free."""
    assert Cost.fit(times, 50).each_byte >= EACH_BYTE


def test_a_pace_begins_with_its_start_value_by_size():
    """A body that is larger is thought to take longer, also where none was measured."""
    pace = Pace(Cost(0.01, 1e-6))
    assert pace.estimate(SMALL) == pytest.approx(0.01 + 0.75 * 2**8 * 1e-6)
    assert pace.estimate(LARGE) == pytest.approx(0.01 + 0.75 * 2**20 * 1e-6)


@pytest.mark.parametrize("start", [0.0001, 0.01, 5.0])
@pytest.mark.parametrize("real", [0.0003, 0.006, 0.5, 3.0])
def test_a_pace_is_learnt_within_seconds_of_work(start, real):
    """Whatever was thought before, three seconds of work or three requests tell what is true."""
    pace = Pace(Cost(start, 0))
    for _ in range(max(3, round(3 / real))):
        pace.learn(SMALL, real)
    assert pace.estimate(SMALL) == pytest.approx(real, rel=0.15)
    assert pace.estimate(LARGE) == start


def test_a_pause_is_not_taken_for_a_slow_model():
    """One request of 0.3 ms that took 50 must not make a queue of 255 look longer than a second."""
    pace = Pace(Cost(0.0003, 0))
    for _ in range(3000):
        pace.learn(SMALL, 0.0003)
    pace.learn(SMALL, 0.05)
    assert 255 * pace.estimate(SMALL) < 0.1


@given(SECONDS, st.lists(SECONDS, min_size=1, max_size=50))
def test_a_pace_lies_among_what_it_has_seen(start, measured):
    """It is a mean: never below the least nor above the greatest of start value and measurements."""
    pace = Pace(Cost(start, 0))
    for seconds in measured:
        pace.learn(SMALL, seconds)
    assert min(start, *measured) * 0.999 <= pace.estimate(SMALL) <= max(start, *measured) * 1.001


def test_a_queue_takes_as_long_as_what_is_in_it():
    """Ten small bodies and a large one are the sum of what they take, less what was done of the first."""
    queue = Queue(Pace(Cost(0.1, 1e-6)))
    assert (queue.seconds(5), queue.first_seconds(5), len(queue)) == (0, 0, 0)
    for _ in range(10):
        queue.enter(SMALL, 5)
    queue.enter(LARGE, 5)
    small, large = queue.pace.estimate(SMALL), queue.pace.estimate(LARGE)
    assert queue.seconds(5) == pytest.approx(10 * small + large)
    assert queue.seconds(5 + small / 2) == pytest.approx(9.5 * small + large)
    assert queue.first_seconds(5 + small / 2) == pytest.approx(small / 2)
    assert queue.seconds(6) == pytest.approx(9 * small + large), "the first takes longer than was thought"
    assert len(queue) == 11


def test_a_request_takes_the_time_since_the_one_before_it_was_done():
    """The time that it waited is not its own, what the server did besides predicting is."""
    queue = Queue(Pace(Cost(0.1, 0)))
    tickets = [queue.enter(SMALL, 0) for _ in range(200)]
    for number, ticket in enumerate(tickets, 1):
        serve(queue, ticket, number * 0.02)
    assert queue.pace.estimate(SMALL) == pytest.approx(0.02, rel=0.05)
    serve(queue, queue.enter(SMALL, 100), 100.02)
    assert queue.pace.estimate(SMALL) == pytest.approx(0.02, rel=0.05), "nor is the time when nobody asked"


def test_a_request_for_which_nothing_was_done_teaches_nothing():
    """Clients that go, or whose time is over, must not make the model look fast."""
    queue = Queue(Pace(Cost(0.1, 0)))
    tickets = [queue.enter(SMALL, 0) for _ in range(3)]
    queue.leave(tickets[0], 0.001)
    queue.leave(tickets[2], 0.001)
    queue.leave(tickets[2], 0.001)
    assert queue.pace.estimate(SMALL) == 0.1
    assert (len(queue), queue.seconds(0.05)) == (1, 0.05)


@given(st.lists(st.tuples(st.sampled_from([SMALL, LARGE, None]), st.floats(0, 3)), max_size=60))
def test_a_queue_never_takes_less_than_nothing(steps):
    """Whatever comes and goes: the estimate is finite, not negative, at least the first's, and 0 when all are gone."""
    queue, tickets, now = Queue(Pace(Cost())), [], 0.0
    for kind, pause in steps:
        now += pause
        if kind:
            tickets.append(queue.enter(kind, now))
        elif tickets:
            serve(queue, tickets.pop(0), now)
        assert 0 <= queue.first_seconds(now) <= queue.seconds(now) + 1e-9 < 1e9
        assert len(queue) == len(tickets)
    for ticket in tickets:
        queue.leave(ticket, now)
    assert queue.seconds(now) == 0
