"""Who is let in and who is told to come back when: with a clock of the test's own, and over real connections."""

import asyncio
import functools
import json
import socket
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from types import SimpleNamespace

import pytest
import uvicorn

from trifold.online import app, turns
from trifold.online.admission import MOST_DELAY, Admission
from trifold.online.demand import Demand
from trifold.online.estimate import Cost
from trifold.online.protocol import Protocol
from trifold.online.refusals import Refused
from trifold.settings import Settings

JSON = {"Content-Type": "application/json"}


class ByHand(Executor):
    """An executor whose work the test does, one after another."""

    def __init__(self):
        self.waiting = []

    def submit(self, work):
        """See Executor."""
        self.waiting.append((work, future := Future()))
        return future

    def work(self):
        """Do the first."""
        task, future = self.waiting.pop(0)
        try:
            future.set_result(task())
        except Refused as refused:
            future.set_exception(refused)


class Bench:
    """An admission, its clock and its executor."""

    def __init__(self, seconds, **limits):
        self.now = 0.0
        self.executor = ByHand()
        self.admission = Admission(Settings(**limits), self.executor, cost=Cost(seconds, 0), clock=lambda: self.now)

    def ask(self, timeout=None, size=100):
        """A request that comes now, for the thread."""
        demand = Demand("/predict", self.now, timeout)
        return asyncio.create_task(self.admission.apart(demand, size, lambda: "done"))

    async def work(self, seconds):
        """Do the first in this time."""
        self.now += seconds
        self.executor.work()
        await settle()


async def settle():
    """Let all tasks go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


def told(task):
    """Retry-After and the words of a refusal."""
    refused = task.exception()
    assert refused.answer[0] == 503
    (error,) = json.loads(refused.answer[1])["errors"]
    assert error["rule"] == "busy"
    return int(dict(refused.headers)[b"retry-after"]), f"{error['expected']}; {error['got']}"


def test_who_would_wait_for_over_a_second_is_told_when_there_is_room():
    """What waits before it counts, not its own time: a long request alone is never refused."""

    async def main():
        bench = Bench(3.5)
        first, second = bench.ask(), bench.ask()
        await settle()
        assert told(second) == (3, "a wait of at most 1 s; one of about 3.5 s")
        bench.now = 1.6
        third = bench.ask()
        await settle()
        assert told(third)[0] == 1
        bench.now = 2.5
        fourth = bench.ask()
        await settle()
        assert not fourth.done(), "there is room as soon as the first had said"
        for seconds in (1.0, 3.5):
            await bench.work(seconds)
        assert (first.result(), fourth.result()) == ("done", "done")

    asyncio.run(main())


def test_as_many_wait_as_are_answered_in_a_second():
    """Requests of 6 ms: 167 may wait; as one is done, the next is let in."""

    async def main():
        bench = Bench(0.006)
        asked = [bench.ask() for _ in range(300)]
        await settle()
        refused = [task for task in asked if task.done()]
        assert len(refused) == 300 - 167
        assert {told(task)[0] for task in refused} == {1}
        await bench.work(0.006)
        more = [bench.ask(), bench.ask()]
        await settle()
        assert [task.done() for task in more] == [False, True]
        while bench.executor.waiting:
            await bench.work(0.006)
        assert [task.result() for task in (*asked[:167], more[0])] == ["done"] * 168

    asyncio.run(main())


def test_what_was_measured_counts_and_not_what_was_thought():
    """A model that turns out to be slow is not given a queue of minutes, and one that is fast is given a long one."""

    async def main():
        for real, most in ((0.5, 4), (0.001, 900)):
            bench = Bench(0.05)
            for _ in range(10):
                task = bench.ask()
                await settle()
                await bench.work(real)
                assert task.result() == "done"
            asked = [bench.ask() for _ in range(1000)]
            await settle()
            let_in = len(bench.executor.waiting)
            assert let_in <= most if real > 0.05 else let_in > 20
            for task in asked:
                task.cancel()

    asyncio.run(main())


def test_a_clients_own_time_counts_in_place_of_the_second():
    """Who waits longer is let in, who waits less is told at once, and who waited in vain costs nothing."""

    async def main():
        bench = Bench(2.0)
        first, patient, hasty = bench.ask(), bench.ask(timeout=2.5), bench.ask(timeout=0.25)
        await settle()
        assert told(hasty) == (4, "a wait of at most 0.25 s; one of about 4 s")
        assert not patient.done()
        await bench.work(3.0)
        await bench.work(0)
        assert first.result() == "done"
        assert told(patient)[1].startswith("an answer within 2.5 s, as grpc-timeout has it")
        late = bench.ask(timeout=1.0)
        bench.now += 1.5
        await settle()
        assert told(late)[0] == 1
        assert not bench.executor.waiting

    asyncio.run(main())


def test_more_than_may_wait_are_told_when_the_next_is_done():
    """However patient they are."""

    async def main():
        bench = Bench(4.0, max_waiting=3)
        asked = [bench.ask(timeout=1000) for _ in range(4)]
        await settle()
        assert told(asked[3]) == (4, "at most 3 waiting requests; one more")
        await bench.work(4.0)
        assert not (last := bench.ask(timeout=1000)).done()
        await settle()
        assert not last.done()
        for task in asked:
            task.cancel()

    asyncio.run(main())


def test_small_bodies_that_wait_are_bounded_as_well():
    """A thousand of 64 KB are 64 MB; they are counted, apart from large ones, and given back when they go."""

    async def main():
        bench = Bench(0.001, max_held_bytes=150_000)
        asked = [bench.ask(size=60_000) for _ in range(3)]
        await settle()
        assert told(asked[2]) == (1, "at most 150000 bytes that wait; more")
        assert not bench.ask(size=200_000).done(), "a large one was counted when it came"
        asked[0].cancel()
        await settle()
        fourth = bench.ask(size=60_000)
        await settle()
        assert not fourth.done()

    asyncio.run(main())


def test_work_in_the_event_loop_has_a_queue_of_its_own(monkeypatch):
    """A long request in the thread refuses no small one, and those that wait for their turn in the loop are counted."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 1e-9)

    async def main():
        bench = Bench(0.3)
        bench.ask()
        bench.ask(timeout=1000)
        bench.ask(timeout=1000)
        bench.ask(timeout=1000)
        await settle()

        def work():
            bench.now += 0.3
            return "done"

        demand = Demand("/predict", 0)
        asked = [asyncio.create_task(bench.admission.inline(demand, 100, work)) for _ in range(7)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers[:5] == ["done"] * 5
        assert [told(task)[0] for task in asked[5:]] == [1, 1]

    asyncio.run(main())


def test_refusals_are_delayed_only_where_there_are_many(monkeypatch):
    """Clients that ask again at once must not take all the time from those that wait, nor wait for ever themselves."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    async def main():
        bench = Bench(1.0)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        await bench.admission.delay_refusal()
        assert slept == [], "the first is told at once"
        for _ in range(1000):
            await bench.admission.delay_refusal()
        assert slept[:3] == pytest.approx([0.001, 0.002, 0.003])
        assert max(slept) == slept[-1] == pytest.approx(MOST_DELAY)
        bench.now = 10
        slept.clear()
        await bench.admission.delay_refusal()
        assert slept == []

    asyncio.run(main())


class Model:
    """A model that answers when it is let."""

    def __init__(self):
        self.go = threading.Event()
        self.contract = SimpleNamespace(
            image=None, takes_tables=False, check_params=lambda params: None,
            check_rows=lambda rows: SimpleNamespace(rejects=(), rows=rows),
        )  # fmt: skip

    def predict(self, rows, most_refused):
        """Its rows, as they came."""
        assert self.go.wait(60)
        return rows


@pytest.fixture
def running():
    """A context: a server in a thread, on a port of its own, of a model by hand."""

    def run(cost, inline_rows):
        model = Model()
        release = SimpleNamespace(
            model=model, inline_rows=inline_rows, cost=cost, render=lambda rows: json.dumps(rows).encode()
        )
        own = app.create_app(Settings(), release)
        server = uvicorn.Server(uvicorn.Config(own, http=Protocol, ws="none", log_level="error"))
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()

        def stop():
            model.go.set()
            server.should_exit = True
            thread.join(30)
            listening.close()

        stack.callback(stop)
        return model, listening.getsockname()[1]

    with ExitStack() as stack:
        yield run


def ask(port, headers=(), rows=(1,)):
    """Status, headers and body of POST /predict."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/predict", json.dumps({"rows": list(rows)}), {**JSON, **dict(headers)})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, json.loads(body)


def waiting(port):
    """How many wait, as GET /metrics says."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return float(next(line.split()[-1] for line in lines if line.startswith("trifold_waiting ")))


def test_a_real_client_is_told_when_to_come_back(running):
    """Retry-After goes over the wire; the probe is answered meanwhile, and the patient client in the end."""
    model, port = running(Cost(1000, 0), 0)
    with ThreadPoolExecutor(2) as clients:
        first = clients.submit(ask, port)
        while waiting(port) < 1:
            assert not first.done()
        status, headers, body = ask(port)
        assert (status, body["errors"][0]["rule"]) == (503, "busy")
        assert 900 < int(headers["Retry-After"]) <= 999
        patient = clients.submit(ask, port, {"grpc-timeout": "2000S"})
        while waiting(port) < 2:
            assert not patient.done()
        probe = HTTPConnection("127.0.0.1", port, timeout=60)
        probe.request("GET", "/livez")
        assert probe.getresponse().status == 200
        probe.close()
        model.go.set()
        assert [first.result()[0], patient.result()[0]] == [200, 200]
    assert waiting(port) == 0
    assert ask(port)[0] == 200


@pytest.mark.parametrize("value", ["soon", "0S", "5"])
def test_a_real_client_whose_timeout_is_none_is_told_so(running, value):
    """400, not passed over, and no Retry-After: to try again would not help."""
    model, port = running(Cost(), 1)
    model.go.set()
    status, headers, body = ask(port, {"grpc-timeout": value})
    assert (status, body["errors"][0]["rule"], body["errors"][0]["got"]) == (400, "timeout", value)
    assert headers["Retry-After"] is None


@pytest.mark.parametrize("inline_rows", [0, 1], ids=["thread", "event loop"])
def test_256_clients_that_wait_for_one_answer_each_are_no_overload(running, monkeypatch, inline_rows):
    """All send before they read, three times over, and none is told to come back."""
    # A machine that other tests keep from work for a second must not look like a model that is slow.
    monkeypatch.setattr(app, "Admission", functools.partial(Admission, clock=lambda: time.perf_counter() / 100))
    model, port = running(Cost(0.0001, 0), inline_rows)
    model.go.set()
    body = json.dumps({"rows": [1]}).encode()
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(256)]
        for _ in range(3):
            for client in clients:
                client.sendall(head.format(len(body)).encode() + body)
            statuses = []
            for client in clients:
                answer = HTTPResponse(client)
                answer.begin()
                statuses.append((answer.status, answer.read()))
            assert set(statuses) == {(200, b"[1]")}
