"""What a real server does when it is asked too much, too slowly, or by somebody who goes away."""

import json
import select
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse

import pytest

ROW = {"tenure": 5, "charges": 70.5, "total": 300.0, "active": True, "plan": "plus", "region": "north"}
JSON = {"Content-Type": "application/json"}
HEAD = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
PROBE_SECONDS = 5
"""The chart's timeoutSeconds of a probe: what a busy pod is killed by."""


@pytest.fixture(scope="module")
def small_server(serve, built_customers):
    """A running server with limits that a test can reach."""
    with ExitStack() as running:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TRIFOLD_MAX_WAITING", "3")
            environment.setenv("TRIFOLD_MAX_HELD_BYTES", "12000000")
            environment.setenv("TRIFOLD_BODY_SECONDS", "2")
            server = running.enter_context(serve(built_customers))
        yield server


def half_sent(server, size, sent):
    """A connection on which a body of `size` bytes was announced and `sent` came."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(HEAD.format(size).encode() + b" " * sent)
    return connection


def answer_on(connection):
    """Status, headers and body of the next answer on a connection."""
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.headers, answer.read()


def metric(server, name):
    """One number of GET /metrics; 0 as long as it is not there."""
    lines = server.ask("GET", "/metrics")[2].decode().splitlines()
    return float(next((line.split()[-1] for line in lines if line.startswith(name + " ")), 0))


def until(wanted, seconds=10):
    """Wait until a call gives something true, or fail with what it gave last."""
    end = time.monotonic() + seconds
    while not (last := wanted()):
        assert time.monotonic() < end, f"still {last!r} after {seconds} s"
        time.sleep(0.01)
    return last


def test_too_many_waiting_are_told_to_come_back(small_server):
    """A queue without end would answer everybody too late; the rest is answered, and the next one at once."""
    body = json.dumps({"rows": [ROW] * 9_000})
    patient = {**JSON, "grpc-timeout": "60S"}
    with ThreadPoolExecutor(12) as clients:
        asked = [clients.submit(small_server.ask, "POST", "/predict", body, patient) for _ in range(12)]
    answers = [future.result() for future in asked]
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 3
    for status, headers, text in answers:
        if status == 503:
            assert int(headers["Retry-After"]) >= 1
            assert json.loads(text)["errors"][0]["rule"] == "busy"
        else:
            assert len(json.loads(text)["predictions"]) == 9_000
    assert small_server.predict({"rows": [ROW] * 9_000})[0] == 200
    assert metric(small_server, "trifold_waiting") == 0


@pytest.mark.parametrize("path", ["/predict", "/predict/csv"])
def test_a_client_that_waits_for_less_than_its_body_takes_to_come_is_told_so(small_server, path):
    """Nothing is predicted for who has gone; each route that predicts knows the header."""
    body, media = (b"a,b\r\n1,2\r\n", "text/csv") if path.endswith("csv") else (b" " * 100_000, JSON["Content-Type"])
    status, headers, text = small_server.ask("POST", path, body, {"Content-Type": media, "grpc-timeout": "1n"})
    assert (status, headers["Retry-After"], json.loads(text)["errors"][0]["rule"]) == (503, "1", "busy")
    status, headers, text = small_server.ask("POST", path, body, {"Content-Type": media, "grpc-timeout": "1 s"})
    assert (status, headers["Retry-After"], json.loads(text)["errors"][0]["rule"]) == (400, None, "timeout")


def test_256_patient_clients_are_all_answered(customers_server):
    """A pipeline of some milliseconds has a queue of a second or two then: those that say so wait for it."""
    command = [sys.executable, "-c", textwrap.dedent(LOAD), str(customers_server.port), "256", "0"]
    body = json.dumps({"rows": [ROW]}).encode()
    done = subprocess.run([*command, "grpc-timeout: 300S"], input=body, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"200": 256}


def test_a_server_may_open_more_files_than_a_shell():
    """Each connection is one: with the usual 1,024 a thousand that wait would leave no probe a connection."""
    code = (
        "import resource as r; from trifold.online.server import allow_files; n = r.RLIMIT_NOFILE; "
        "most = r.getrlimit(n)[1]; r.setrlimit(n, (256, most)); allow_files(); print(*r.getrlimit(n), most)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    allowed, most, before = map(int, done.stdout.split())
    assert most == before
    assert allowed == (65_536 if most == -1 else min(most, 65_536))


def test_bodies_held_at_once_are_limited(small_server):
    """Many uploads that never end would fill the memory; one is told to come back, and when they go, there is room."""
    uploads = [half_sent(small_server, 4_000_000, 3_900_000) for _ in range(4)]
    refused, _, _ = select.select(uploads, [], [], 1)
    assert len(refused) == 1
    status, headers, text = answer_on(refused[0])
    assert (status, headers["Retry-After"], json.loads(text)["errors"][0]["rule"]) == (503, "1", "busy")
    body = json.dumps({"rows": [ROW]}).encode()
    refused[0].sendall(b" " * 100_000 + HEAD.format(len(body)).encode() + body)
    assert answer_on(refused[0])[0] == 200, "the connection is as good as before"
    for upload in uploads:
        upload.close()
    until(lambda: small_server.ask("POST", "/predict", b" " * 9_000_000, JSON)[0] == 400)


def test_slow_client_holds_up_nobody_and_is_told(small_server):
    """A body that does not come is given up after a while, with an answer; meanwhile others are served."""
    slow = half_sent(small_server, 1000, 10)
    start = time.monotonic()
    assert small_server.predict({"rows": [ROW]})[0] == 200
    assert time.monotonic() - start < PROBE_SECONDS
    answer = slow.makefile("rb").read()
    slow.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert b'"too_slow"' in answer


def test_client_that_goes_away_does_no_harm(small_server):
    """Closed in the middle of a body, or before the answer: the next client notices nothing."""
    rows = 'trifold_rows_total{mode="online"}'
    before = metric(small_server, rows)
    for sent in (0, 10, 300_000):
        half_sent(small_server, 400_000, sent).close()
    body = json.dumps({"rows": [ROW] * 9_000}).encode()
    connection = socket.create_connection(("127.0.0.1", small_server.port))
    connection.sendall(HEAD.format(len(body)).encode() + body)
    until(lambda: metric(small_server, "trifold_waiting") or metric(small_server, rows) > before)
    connection.close()
    until(lambda: metric(small_server, "trifold_waiting") == 0)
    assert small_server.predict({"rows": [ROW]})[0] == 200


def test_headers_without_end_are_refused(small_server):
    """One client that sends headers for ever would fill the memory."""
    connection = socket.create_connection(("127.0.0.1", small_server.port), timeout=30)
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
    with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012 - whichever comes first
        for _ in range(1000):
            connection.sendall(b"X-More: " + b"x" * 10_000 + b"\r\n")
        connection.recv(1)
        raise ConnectionResetError("reset")
    connection.close()
    assert small_server.predict({"rows": [ROW]})[0] == 200


@pytest.mark.parametrize("begin", ["0\r\n{}", "0\r\nX: ", "1;"], ids=["trailers", "one trailer", "a chunk's head"])
def test_headers_without_end_around_a_body_are_refused(customers_server, begin):
    """HTTP has headers after a body, too, and nobody needs them."""
    connection = socket.create_connection(("127.0.0.1", customers_server.port), timeout=30)
    head = HEAD.replace("Content-Length: {}", "Transfer-Encoding: chunked")
    connection.sendall((head + begin.format("")).encode())
    with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012 - whichever comes first
        for _ in range(1000):
            connection.sendall(b"X-More: xxx\r\n" * 1000 if "{}" in begin else b"x" * 10_000)
    assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    connection.close()
    assert customers_server.predict({"rows": [ROW]})[0] == 200


MANY = 40_000_000


@pytest.mark.parametrize(
    ("method", "path", "media", "status"),
    [
        ("POST", "/predict", "application/json", 413),
        ("POST", "/predict", "text/plain", 415),
        ("POST", "/predict/csv", "text/csv", 413),
        ("POST", "/predict/image", "multipart/form-data; boundary=x", 404),
        ("POST", "/nothing", "application/json", 404),
        ("POST", "/livez", "application/json", 405),
        ("GET", "/predict", "application/json", 405),
        ("GET", "/livez", "application/json", 200),
        ("GET", "/healthz", "application/json", 200),
    ],
)
def test_an_endless_body_is_cut_off(customers_server, method, path, media, status):
    """A body goes on after its answer as long as its client likes; the server must not read it for ever."""
    answer, read, seconds = customers_server.pour(method, path, {"Content-Type": media})
    print(f"{method} {path} {status}: {read / 1e6:.1f} MB read, cut after {seconds:.2f} s")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert read < MANY
    assert customers_server.predict({"rows": [ROW]})[0] == 200


def test_a_dripping_body_is_cut_off_after_its_answer(customers_server):
    """One that ends within what is read, by its own account, holds its connection for seconds and not for ever."""
    with socket.create_connection(("127.0.0.1", customers_server.port), timeout=30) as connection:
        connection.sendall(HEAD.format(1000).replace("json", "text").encode())
        status, headers, _ = answer_on(connection)
        assert (status, headers["Connection"]) == (415, None)
        began = time.monotonic()
        while not select.select([connection], [], [], 0.1)[0]:
            connection.sendall(b"x")
        assert connection.recv(1) == b""
        assert time.monotonic() < began + 5


@pytest.mark.parametrize("more", [{}, {"Connection": "close"}])
@pytest.mark.parametrize(("media", "size", "status"), [("json", 12_000_000, 413), ("text", 9_000_000, 415)])
def test_a_client_that_sends_all_before_it_reads_gets_its_answer(customers_server, media, size, status, more):
    """Most clients do, and would see a reset connection instead of the reason."""
    more = "".join(f"{name}: {value}\r\n" for name, value in more.items())
    head = HEAD.format(size).replace("json", media).replace("Host: x\r\n", f"Host: x\r\n{more}")
    for pause in (0, 0.5):
        with socket.create_connection(("127.0.0.1", customers_server.port), timeout=30) as connection:
            connection.sendall(head.encode())
            time.sleep(pause)
            connection.sendall(b" " * size)
            answered, headers, body = answer_on(connection)
            assert (answered, headers["Content-Type"]) == (status, "application/json")
            assert len(json.loads(body)["errors"]) == 1


def test_what_is_no_http_is_told_so(small_server):
    """Even to nonsense the answer has the form of all errors."""
    connection = socket.create_connection(("127.0.0.1", small_server.port), timeout=30)
    connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
    answer = connection.makefile("rb").read()
    connection.close()
    head, body = answer.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["errors"][0]["rule"] == "http"


LOAD = """
    import asyncio, json, sys, time
    port, connections, seconds, body = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.stdin.buffer.read()
    more = "".join(line + "\\r\\n" for line in sys.argv[4:])
    request = (f"POST /predict HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\n{more}"
               f"Content-Length: {len(body)}\\r\\n\\r\\n").encode() + body
    end, statuses = time.monotonic() + seconds, {}
    async def client():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            writer.write(request)
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().lower()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\\r\\n")[0]))
            statuses[head[9:12]] = statuses.get(head[9:12], 0) + 1
            if time.monotonic() > end:
                return
    async def main():
        await asyncio.gather(*[client() for _ in range(connections)])
    asyncio.run(main())
    print(json.dumps(statuses))
"""


@pytest.mark.parametrize(("connections", "rows"), [(300, 1), (64, 50)])
def test_probes_are_answered_under_load(customers_server, connections, rows):
    """A probe is a new connection; were it to wait behind all others, Kubernetes would kill a busy pod."""
    command = [sys.executable, "-c", textwrap.dedent(LOAD), str(customers_server.port), str(connections), "3"]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    load.stdin.write(json.dumps({"rows": [ROW] * rows}).encode())
    load.stdin.close()
    waits = [0.0]
    while load.poll() is None:
        waits.append(probe(customers_server))
        time.sleep(0.02)
    statuses = json.loads(load.stdout.read())
    load.stdout.close()
    assert set(statuses) <= {"200", "503"}
    assert statuses["200"] > 10
    assert max(waits) < PROBE_SECONDS, f"{len(waits)} probes, the slowest took {max(waits):.2f} s; load {statuses}"
    assert customers_server.predict({"rows": [ROW]})[0] == 200


def probe(server):
    """Seconds until GET /livez is answered, on a new connection."""
    start = time.monotonic()
    assert server.ask("GET", "/livez")[0] == 200
    return time.monotonic() - start


def filled(unit, most=9_900_000):
    """A unit repeated to nearly the largest body."""
    return unit * (most // len(unit))


STORMS = {
    "deep": lambda: "[" * 9_900_000,
    "many deep": lambda: '{"rows": [' + filled("[" * 400 + "]" * 400 + ",")[:-1] + "]}",
    "many lists": lambda: '{"rows": [' + filled("[],")[:-1] + "]}",
    "NaN": lambda: '{"rows": [' + filled("NaN,")[:-1] + "]}",
    "1e400": lambda: '{"rows": [{"charges": [' + filled("1e400,")[:-1] + "]}]}",
    "digits": lambda: '{"rows": [' + "9" * 9_900_000 + "]}",
    "one name repeated": lambda: '{"rows": [{' + filled('"a":1,')[:-1] + "}]}",
    "each name twice": lambda: '{"rows": [{' + ",".join(f'"{n // 2:06}":1' for n in range(300_000)) + "}]}",
    "bad rows": lambda: '{"rows": [' + ",".join(['{"tenure": "x", "plan": 1, "more": 2}'] * 9_000) + "]}",
    "escapes": lambda: '{"rows": ["' + filled("\\u00e9") + '"]}',
}


@pytest.mark.parametrize("storm", STORMS)
def test_ten_megabytes_of_nonsense_hold_up_no_probe(customers_server, storm):
    """A bad body is read in the thread that predicts, so it must not starve the one that answers probes."""
    body = STORMS[storm]().encode()
    waits = []
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(customers_server.ask, "POST", "/predict", body, JSON, timeout=60)
        while not asked.done():
            waits.append(probe(customers_server))
    status, _, answer = asked.result()
    assert status in (400, 413, 422)
    assert json.loads(answer)["errors"]
    assert max(waits, default=0) < PROBE_SECONDS, f"the slowest of {len(waits)} probes took {max(waits):.2f} s"


def test_slow_model_is_not_predicted_in_the_event_loop(built_customers, monkeypatch):
    """A model that takes long for one row would hold up the probes with each request."""
    from trifold.model import Model
    from trifold.online.release import INLINE_SECONDS, Release
    from trifold.settings import Settings

    real = Model.predict

    def slow(self, rows, **options):
        time.sleep(2 * INLINE_SECONDS)
        return real(self, rows, **options)

    monkeypatch.setattr(Model, "predict", slow)
    monkeypatch.setattr("trifold.online.release.MODEL", type("Nothing", (), {"info": lambda *_: None}))
    release = Release.load(built_customers.model, Settings())
    assert release.inline_rows == 0
    assert release.cost.once >= 2 * INLINE_SECONDS, "what waits for it is estimated before anything was asked"
