"""POST /predict/image on a real server: hostile files and forms are refused, and a healthy picture beside them is not.

`pytest -s -k corpus tests/trifold/test_hostile_pictures.py` prints the table: bytes, status, rule, time, memory.
"""

import json
import random
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.trifold.hostile_pictures import corpus, harmless
from trifold.pictures import MOST_BYTES

MOST_MEMORY = 50 * 2**20
EDGE = "frontier"


@pytest.fixture(scope="module")
def server(serve, built_pictures):
    """A running server of the model of bright sides."""
    with serve(built_pictures) as running:
        yield running


@pytest.fixture(scope="module")
def healthy(side_pictures, picture_file):
    """A picture that is answered "left"."""
    return picture_file(side_pictures[0][0])


def part(content, headers='Content-Disposition: form-data; name="image"; filename="x.png"'):
    """One part of a multipart body."""
    return b"--" + EDGE.encode() + b"\r\n" + headers.encode() + b"\r\n\r\n" + content + b"\r\n"


END = f"--{EDGE}--\r\n".encode()
HEAD = f"POST /predict/image HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary={EDGE}\r\n"


def post(server, body, media=f"multipart/form-data; boundary={EDGE}"):
    """Status and document."""
    status, _, answer = server.ask("POST", "/predict/image", body, {"Content-Type": media} if media else {})
    return status, json.loads(answer)


def family(pid):
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def held(pid, what="VmRSS"):
    """Bytes that a process and its children hold, or held at most (VmHWM)."""
    total = 0
    for each in family(pid):
        found = re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{each}/status").read_text())
        total += int(found.group(1)) * 1024 if found else 0
    return total


def forget_peaks(pid):
    """Let VmHWM begin anew."""
    for each in family(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5")


@pytest.mark.slow
def test_the_corpus_is_refused_and_harms_nobody(server, healthy):
    """Each hostile file is a 4xx with a sentence; memory hardly grows, and the picture beside it is answered."""
    pid, table, worst = server.process.pid, [], 0
    for name, data in corpus().items():
        before = held(pid)
        forget_peaks(pid)
        began = time.perf_counter()
        status, document = post(server, part(data) + END)
        took = time.perf_counter() - began
        more = max(0, held(pid, "VmHWM") - before)
        worst = max(worst, more)
        error = document.get("errors", [{"rule": "-", "got": str(document)}])[0]
        table.append(
            f"{name:36.36} {len(data):>10,} {status} {error['rule']:<10} {1000 * took:6.0f} ms {more / 2**20:5.1f} MB"
        )
        assert 400 <= status < 500, (name, document)
        assert error["got"], name
        assert more < MOST_MEMORY, table[-1]
        assert post(server, part(healthy) + END)[1]["predictions"] == ["left"], name
    print(
        "", f"{'file':36} {'bytes':>10} status", *table, f"{len(table)} files, at most {worst / 2**20:.1f} MB", sep="\n"
    )
    assert len(table) >= 60
    assert server.process.poll() is None
    assert server.ask("GET", "/readyz")[0] == 200


@pytest.mark.slow
def test_harmless_pictures_are_answered(server):
    """Every kind of PNG and JPEG that people have gets an answer."""
    for name, data in harmless().items():
        status, document = post(server, part(data) + END)
        assert status == 200, (name, document)
        assert document["like_training"] in ([True], [False])


TEXT = 'Content-Disposition: form-data; name="image"'
FORMS = {
    "a URL": (part(b"http://169.254.169.254/latest/", TEXT) + END, "text in the field"),
    "a file URL as a file": (part(b"file:///etc/passwd") + END, "an address"),
    "another field": (
        part(b"x", 'Content-Disposition: form-data; name="file"; filename="x"') + END,
        'in the field "file"',
    ),
    "two files": (part(b"x") + part(b"y") + END, "two parts"),
    "ten thousand parts": (part(b"x") * 10_000 + END, "two parts"),
    "no file": (END, ""),
    "no part": (b"", ""),
    "no end": (part(b"x"), "cut off"),
    "an empty file": (part(b"") + END, "an empty file"),
    "no name": (part(b"x", "Content-Disposition: form-data; filename=x") + END, 'in the field ""'),
    "no disposition": (part(b"x", "X: y") + END, ""),
    "a long header": (part(b"x", "X: " + "y" * 1_000_000) + END, ""),
    "many headers": (part(b"x", "\r\n".join(["X: y"] * 100_000)) + END, ""),
    "another boundary": (part(b"x").replace(EDGE.encode(), b"other") + END, ""),
    "noise before": (b"x" * 1_000_000 + b"\r\n" + part(b"x") + END, ""),
    "line breaks": (b"\r\n" * 1_000_000 + part(b"x") + END, ""),
    "nested": (part(part(b"x") + END, "Content-Type: multipart/mixed; boundary=frontier") + END, ""),
    "an odd name": (
        part(b"x", 'Content-Disposition: form-data; name="image"; filename="../\0<b>' + "é" * 9999 + '"') + END,
        "",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_odd_forms_are_refused(server, healthy, name):
    """Nothing but one file in the field image is read, and what came instead is said."""
    body, got = FORMS[name]
    status, document = post(server, body)
    assert status == 422
    assert got in document["errors"][0]["got"]
    assert post(server, part(healthy) + END)[0] == 200


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("image/png", 415),
        ("multipart/mixed; boundary=frontier", 415),
        ("", 415),
        ("multipart/form-data", 422),
        ("multipart/form-data; boundary=", 422),
        ("multipart/form-data; boundary=" + "b" * 5_000, 422),
        ('multipart/form-data; boundary="\xe9"', 422),
    ],
)
def test_another_media_type_is_refused(server, healthy, media, status):
    """The body is declared as what it is, with a boundary that fits it."""
    assert post(server, part(healthy) + END, media)[0] == status


def test_other_methods_are_refused(server):
    """A picture is posted."""
    assert server.ask("GET", "/predict/image")[0] == 405
    assert server.ask("PUT", "/predict/image", b"x")[0] == 405


def test_too_large_a_file_is_refused(server):
    """One byte more than is taken."""
    assert post(server, part(bytes(MOST_BYTES + 1)) + END)[1]["errors"][0]["rule"] == "too_large"
    assert post(server, part(bytes(MOST_BYTES + 10**6)) + END)[0] == 413


def test_an_endless_body_is_cut_off(server, healthy):
    """A stream that never ends is refused when it is too large, held no longer, and soon not even read."""
    answer, read, seconds = server.pour(
        "POST", "/predict/image", {"Content-Type": f"multipart/form-data; boundary={EDGE}"}
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert read < 4 * MOST_BYTES, f"{read} bytes in {seconds:.1f} s"
    assert post(server, part(healthy) + END)[0] == 200


def test_a_dripping_body_is_cut_off(serve, built_pictures, monkeypatch):
    """A body that comes a byte now and then is 408 after the time it is given."""
    monkeypatch.setenv("TRIFOLD_BODY_SECONDS", "1")
    head = f"{HEAD}Content-Length: 999\r\n"
    with serve(built_pictures) as slow, socket.create_connection(("127.0.0.1", slow.port), timeout=30) as connection:
        connection.sendall((head + "\r\n--").encode())
        assert b" 408 " in connection.recv(65536)


def test_pieces_of_one_byte_are_one_picture(server, healthy):
    """However the network cuts a body, it is the same."""
    body = part(healthy) + END
    head = f"{HEAD}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head.encode())
        for place in range(len(body)):
            connection.sendall(body[place : place + 1])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 200 " in answer.split(b"\r\n")[0]
    assert b'"predictions":["left"]' in answer


def test_mutations_of_a_good_body_never_fail_the_server(server, healthy):
    """Two hundred bodies with bytes flipped, cut and doubled are answered or refused, never a 500."""
    chance = random.Random(6)  # noqa: S311 - nothing secret
    good = part(healthy) + END
    for _ in range(200):
        body = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(body))
            kind = chance.randrange(3)
            if kind == 0:
                body[place] = chance.randrange(256)
            elif kind == 1:
                del body[place : place + chance.randrange(1, 40)]
            else:
                body[place:place] = body[place : place + 40]
        assert post(server, bytes(body))[0] in (200, 422)


def read_open_files(server):
    """What a process has open; a descriptor may be closed while it is looked at."""
    found = set()
    for each in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(each.readlink()))
    return found


def test_an_upload_touches_no_disk(server):
    """A picture of a person is nowhere but in memory, however large it is."""
    before = read_open_files(server)
    post(server, part(bytes(MOST_BYTES - 1000)) + END)
    assert not [path for path in read_open_files(server) - before if path.startswith("/")]
