"""Short work in the event loop: in order, a part of it in each turn."""

import asyncio

import pytest

from trifold.online import turns
from trifold.online.turns import Turns


@pytest.fixture(autouse=True)
def one_a_turn(monkeypatch):
    """Turns that are over after the first piece of work."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 1e-9)


async def do(line, task):
    """Do work as the server does it."""
    return line.work(task) if line.free else await line.wait(task)


def test_work_is_done_in_the_order_in_which_it_came():
    """Nobody overtakes, however many wait, and each gets what its own work gave."""

    async def main():
        line, done = Turns(), []
        asked = [
            asyncio.create_task(do(line, lambda number=number: done.append(number) or number)) for number in range(50)
        ]
        assert await asyncio.gather(*asked) == list(range(50)) == done
        await asyncio.sleep(0)
        assert line.free

    asyncio.run(main())


def test_the_loop_does_other_things_between_turns():
    """Probes and new connections would else wait for all that waits."""

    async def main():
        line, seen = Turns(), []
        asked = [asyncio.create_task(do(line, lambda: seen.append("work"))) for _ in range(10)]

        async def probe():
            while not all(task.done() for task in asked):
                seen.append("probe")
                await asyncio.sleep(0)

        await asyncio.gather(probe(), *asked)
        assert "work,work" not in ",".join(seen)

    asyncio.run(main())


@pytest.mark.parametrize(("raised", "seen"), [(KeyError("x"), KeyError), (StopIteration(), RuntimeError)])
def test_what_work_raises_is_raised_where_it_is_awaited(raised, seen):
    """At once or in a later turn; what comes after it is done all the same."""

    async def main():
        def fail():
            raise raised

        line = Turns()
        asked = [asyncio.create_task(do(line, task)) for task in (fail, fail, lambda: 7)]
        first, second, third = await asyncio.gather(*asked, return_exceptions=True)
        assert (type(first), type(second), third) == (seen, seen, 7)

    asyncio.run(main())


def test_work_that_nobody_awaits_is_left_out():
    """A server that ends cancels what waits."""

    async def main():
        line, done = Turns(), []
        asked = [asyncio.create_task(do(line, lambda number=number: done.append(number))) for number in range(3)]
        await asyncio.sleep(0)
        asked[1].cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert done == [0, 2]

    asyncio.run(main())
