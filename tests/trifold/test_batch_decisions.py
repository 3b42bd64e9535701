"""Decisions on one content: all who ever ask get the same, in whatever order they go on and wherever they die."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifold.batch.decisions import agree
from trifold.errors import Unavailable


class Dead(BaseException):
    """A process is killed."""


class Turns:
    """A store of objects in which one process at a time takes one step, in an order that is told."""

    def __init__(self, count, order):
        self.objects, self.waiting, self.ended = {}, {}, set()
        self.count, self.order = count, iter(order)
        self.changed = threading.Condition()
        self.current = None

    def run(self, work):
        """Let each process work until it ends; gives what each gave, or None if it died."""
        found = [None] * self.count
        threads = [threading.Thread(target=self._live, args=(number, work, found)) for number in range(self.count)]
        for thread in threads:
            thread.start()
        with self.changed:
            self.current = self._next()
            self.changed.notify_all()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        return found

    def _live(self, number, work, found):
        self.waiting[threading.get_ident()] = number
        try:
            found[number] = work(number)
        except (Dead, Unavailable):
            pass
        finally:
            with self.changed:
                self.ended.add(number)
                if self.current == number:
                    self.current = self._next()
                self.changed.notify_all()

    def _next(self):
        alive = [number for number in range(self.count) if number not in self.ended]
        return alive[next(self.order, 0) % len(alive)] if alive else None

    def step(self, action):
        """Wait for the turn, act, and let another go on."""
        me = self.waiting[threading.get_ident()]
        with self.changed:
            assert self.changed.wait_for(lambda: self.current == me, timeout=60)
            try:
                return action()
            finally:
                self.current = self._next()
                self.changed.notify_all()


class Seen:
    """A process's view of the store; it dies before its last step."""

    def __init__(self, turns, steps):
        self.turns, self.left = turns, steps

    def _step(self, action):
        if self.left == 0:
            raise Dead
        self.left -= 1
        return self.turns.step(action)

    def read(self, name):
        """A step that reads."""
        return self._step(lambda: self.turns.objects.get(name))

    def write(self, name, content):
        """A step that writes."""
        self._step(lambda: self.turns.objects.__setitem__(name, content))

    def names(self, name=""):
        """A step that lists."""
        start = f"{name}/"
        return self._step(lambda: sorted(each[len(start) :] for each in self.turns.objects if each.startswith(start)))


@settings(max_examples=300, deadline=None)
@given(
    order=st.lists(st.integers(0, 5), max_size=120),
    steps=st.lists(st.one_of(st.just(-1), st.integers(0, 14)), min_size=2, max_size=4),
)
def test_all_who_get_an_answer_get_the_same(order, steps):
    """Two to four processes, some of them killed at some step: one content, then and for whoever comes later."""
    turns = Turns(len(steps), order)
    views = [Seen(turns, count) for count in steps]
    found = turns.run(lambda number: agree(views[number], "x", b"%d" % number, lambda _: None))
    answers = {answer for answer in found if answer is not None}
    assert len(answers) <= 1
    later = Turns(1, [])
    later.objects = turns.objects
    [last] = later.run(lambda _: agree(Seen(later, -1), "x", b"late", lambda _: None))
    assert last is not None
    assert answers <= {last}
    assert turns.objects["x"] == last


def test_a_put_that_arrives_late_changes_nothing(place):
    """A request that S3 carries out after its sender has given up, and after the decision."""
    from trifold.batch.folders import open_folder

    folder = open_folder(place.address, place.environment)
    assert folder.decide("x.json", b"one") == b"one"
    before = {name: place.read(name) for name in place.files()}
    for name, content in before.items():
        folder.write(name, content)
    assert folder.decide("x.json", b"two") == b"one"
    assert {name: place.read(name) for name in place.files()}.items() >= before.items()


@pytest.mark.parametrize("count", [8])
def test_many_at_once_decide_on_one(place, count):
    """Real folders, on the disk and in S3: eight threads ask at once."""
    from trifold.batch.folders import open_folder

    found, barrier = [], threading.Barrier(count)

    def ask(number):
        folder = open_folder(place.address, place.environment)
        barrier.wait()
        found.append(folder.decide("x.json", b"%d" % number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == count
    assert len(set(found)) == 1
