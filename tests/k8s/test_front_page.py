"""The front page: what it lists from the Kubernetes API, what it makes of it, and what stays when the API is away."""

import http.client
import http.server
import importlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "k8s/images/front-page"
sys.path.append(str(FOLDER))
api, keeper, page, releases, server = (
    importlib.import_module(f"front_page.{name}") for name in ("api", "keeper", "page", "releases", "server")
)

SERVICES, CRON_JOBS = "/api/v1/namespaces/models/services", "/apis/batch/v1/namespaces/models/cronjobs"
INSTANCE = {"labels": {"app.kubernetes.io/instance": "x"}, "annotations": 3}
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'><b>",
    "</h2></li></ul><form action=//evil.example>",
    "<!-- ",
    "]]><style>*{display:none}</style>",
    '" onmouseover="alert(1)',
    "&lt;script&gt;",
    "<a href='javascript:alert(1)'>x</a>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "{content}{0}%s",
    "\x00<iframe srcdoc='<script>'>",
]


@dataclass
class Kubernetes:
    """A server that plays the API.

    Attributes:
        objects: What it lists, by path.
        answer: Called with the handler instead of listing, where a test wants another answer.
        asked: (path, query, headers) of each request.
    """

    objects: dict = field(default_factory=lambda: {SERVICES: [], CRON_JOBS: []})
    answer: object = None
    asked: list = field(default_factory=list)
    address: str = ""

    def listed(self, handler):
        """Answer as the API does: `limit` objects, and where to go on."""
        where = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        self.asked.append((where.path, query, dict(handler.headers)))
        if self.answer:
            return self.answer(handler)
        begin, limit = int(query.get("continue", "0")), int(query["limit"])
        items = self.objects[where.path][begin : begin + limit]
        more = len(self.objects[where.path]) > begin + limit
        return say(handler, {"items": items, "metadata": {"continue": str(begin + limit) if more else ""}})


def say(handler, document, status=200):
    """Send a document, or bytes as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def kubernetes():
    """The API, on a port of its own."""
    played = Kubernetes()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            played.listed(self)

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.handle_error = lambda *_: None  # a client that had enough
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    played.address = f"http://127.0.0.1:{listening.server_port}"
    yield played
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def account(tmp_path):
    """A folder as the volume with the token is."""
    (tmp_path / "token").write_text("secret\n")
    return tmp_path


@pytest.fixture
def asked(kubernetes, account):
    """How the front page reaches it."""
    return api.Api(kubernetes.address, account)


def service(name, *, labels=None, **notes):
    """A release's Service, as charts/model-serving makes it."""
    ours = {"app.kubernetes.io/instance": name, "app.kubernetes.io/version": "3", **(labels or {})}
    annotations = {f"trifold.dev/{key}": value for key, value in notes.items()}
    return {"metadata": {"name": f"{name}-online", "labels": ours, "annotations": annotations}}


def cron_job(name, schedule="0 6 * * *", zone="Europe/Berlin", *, suspend=False, **notes):
    """A release's CronJob."""
    item = service(name, **notes)
    return {**item, "spec": {"schedule": schedule, "timeZone": zone, "suspend": suspend}}


def shown(kubernetes, asked, *services, jobs=()):
    """The page of these objects."""
    kubernetes.objects = {SERVICES: list(services), CRON_JOBS: list(jobs)}
    return page.render(releases.find(asked, "models"))


class Seen(HTMLParser):
    """Reads a page as a browser does: tags that were opened, links, and texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.links, self.texts = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Keep a tag."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}
        self.links += [value for name, value in attributes if tag == "a" and name == "href"]

    def handle_data(self, data):
        """Keep a text."""
        self.texts.append(data.strip())


class TestListing:
    """What is asked of the API, and what of its answers is taken."""

    def test_asks_for_releases_only_and_names_itself(self, kubernetes, asked):
        """The API chooses by label, so that nothing else is sent; both lists carry the token."""
        releases.find(asked, "models")
        assert [(path, query["labelSelector"]) for path, query, _ in kubernetes.asked] == [
            (SERVICES, "app.kubernetes.io/part-of=trifold,app.kubernetes.io/component=online"),
            (CRON_JOBS, "app.kubernetes.io/part-of=trifold,app.kubernetes.io/component=batch"),
        ]
        assert {headers["Authorization"] for *_, headers in kubernetes.asked} == {"Bearer secret"}
        assert all("watch" not in query for _, query, _ in kubernetes.asked)

    def test_a_token_is_read_anew(self, kubernetes, asked, account):
        """Kubernetes replaces it before it ends."""
        releases.find(asked, "models")
        (account / "token").write_text("newer")
        releases.find(asked, "models")
        assert kubernetes.asked[-1][2]["Authorization"] == "Bearer newer"

    def test_pages_are_followed_to_the_end(self, kubernetes, asked):
        """A list that is cut is gone on with; each object counts once."""
        many = [service(f"m{number:03}") for number in range(2 * api.AT_ONCE + 1)]
        kubernetes.objects[SERVICES] = many
        found = releases.find(asked, "models")
        assert [release.name for release in found.releases] == [f"m{number:03}" for number in range(len(many))]
        assert [query.get("continue") for path, query, _ in kubernetes.asked if path == SERVICES] == [None, "25", "50"]

    def test_no_more_than_500_are_taken(self, kubernetes, asked):
        """And the page says that there are more."""
        text = shown(kubernetes, asked, *(service(f"m{number}") for number in range(releases.MOST + 1)))
        assert Seen(text).tags.count("li") == releases.MOST
        assert "more models than the 500" in text

    @pytest.mark.parametrize("name", ["Churn", "-a", "a" * 41, "a.b", "a/../b", "", "a\n", None, 7])
    def test_a_release_that_the_gateway_would_not_reach_is_left_out(self, kubernetes, asked, name):
        """A link that leads nowhere is worse than none."""
        broken = service("a", labels={"app.kubernetes.io/instance": name})
        assert Seen(shown(kubernetes, asked, broken, service("b"))).links[0] == "models/b/"

    def test_a_service_of_another_name_is_left_out(self, kubernetes, asked):
        """The gateway asks <release>-online and no other."""
        other = service("other")
        other["metadata"]["name"] = "other"
        assert "models/other/" not in shown(kubernetes, asked, other)

    @pytest.mark.parametrize(
        "broken",
        [None, 7, "text", [], {}, *({"metadata": found} for found in (None, [], {"labels": "x"}, INSTANCE))],
    )
    def test_a_broken_object_does_not_sink_the_rest(self, kubernetes, asked, broken):
        """One strange Service is no reason to show nobody anything."""
        text = shown(kubernetes, asked, broken, service("churn"), jobs=[broken, cron_job("nightly")])
        assert Seen(text).tags.count("li") == 2

    def test_texts_that_are_none_are_passed_over(self, kubernetes, asked):
        """The next best text stands for one that is missing, empty or no text."""
        items = [service("a", title="", model="Model A"), service("b", title=3, model=None), service("c", title="\n\t")]
        found = {release.name: release.title for release in find(kubernetes, asked, *items)}
        assert found == {"a": "Model A", "b": "b", "c": "c"}

    def test_texts_are_cut_and_stay_in_one_line(self, kubernetes, asked):
        """A novel in an annotation is no card; what turns the text around is taken out, what joins letters is not."""
        long = service("a", title="x" * 1000, description="y\n\u202e z\x07 " * 1000)
        joined = service("b", title="می\u200cخواهم 👩\u200d🔬")
        first, second = sorted(find(kubernetes, asked, long, joined), key=lambda one: one.name)
        assert (len(first.title), len(first.description)) == (releases.TITLE, releases.DESCRIPTION)
        assert first.title.endswith("x…")
        assert set(first.description) == set("yz …")
        assert second.title == "می\u200cخواهم 👩\u200d🔬"

    def test_half_a_character_is_no_end(self, kubernetes, asked):
        r"""JSON may say "\ud800", which UTF-8 has no bytes for."""
        kubernetes.objects[SERVICES] = [service("a", title="\ud800 half")]
        kept = keeper.Keeper(asked, "models")
        kept.look()
        assert b">half</a>" in kept.page


def find(kubernetes, asked, *services, jobs=()):
    """The releases of these objects."""
    kubernetes.objects = {SERVICES: list(services), CRON_JOBS: list(jobs)}
    return releases.find(asked, "models").releases


def dripping(handler):
    """An answer that never ends."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


@contextmanager
def secure(certificate, key, said):
    """An empty API behind TLS; its address. Puts to `said` what it was told who asks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            said.append(self.headers["Authorization"])
            say(self, {})

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.handle_error = lambda *_: None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


class TestRefusals:
    """An API that does not give a list is said in a clause, whatever it does instead."""

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (lambda handler: say(handler, {}, 403), "services is answered 403 Forbidden"),
            (lambda handler: say(handler, {}, 401), "services is answered 401 Unauthorized"),
            (lambda handler: say(handler, {}, 500), "services is answered 500 Internal Server Error"),
            (lambda handler: say(handler, b"<html>"), "services: Expecting value"),
            (lambda handler: say(handler, b"[]"), "services gives no object"),
            (lambda handler: say(handler, b"[" * 100_000), "services: maximum recursion depth"),
            (lambda handler: say(handler, b"\xff\xfe"), "services: "),
            (lambda handler: say(handler, b" " * (api.MOST_BYTES + 1)), "services gives more than 10,000,000 bytes"),
            (lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n"), "services: SSH-2.0-x"),
            (lambda handler: handler.connection.close(), "services: "),
        ],
    )
    def test_says_what_the_api_did(self, kubernetes, asked, answer, said):
        """So that one line of the log tells what to mend."""
        kubernetes.answer = answer
        with pytest.raises(api.Unreadable, match=re.escape(said)):
            releases.find(asked, "models")

    def test_a_silent_api_is_given_up(self, kubernetes, asked, monkeypatch):
        """A connection that says nothing does not hold the page for ever."""
        monkeypatch.setattr(api, "WAIT_SECONDS", 0.1)
        ends = threading.Event()
        kubernetes.answer = lambda handler: ends.wait(30)
        try:
            with pytest.raises(api.Unreadable, match="timed out"):
                releases.find(asked, "models")
        finally:
            ends.set()

    def test_an_api_that_drips_is_given_up(self, kubernetes, asked, monkeypatch):
        """Each byte comes in time, and all of them never."""
        monkeypatch.setattr(api, "MOST_SECONDS", 0.3)
        kubernetes.answer = dripping
        with pytest.raises(api.Unreadable, match=r"takes more than 0\.3 s"):
            releases.find(asked, "models")

    def test_an_api_that_is_not_there_is_said(self, kubernetes, asked, account):
        """Nothing listens at the port."""
        with pytest.raises(api.Unreadable, match="refused"):
            releases.find(api.Api("http://127.0.0.1:1", account), "models")

    def test_no_token_is_said(self, kubernetes, asked, account):
        """Then nothing is asked at all."""
        (account / "token").unlink()
        with pytest.raises(api.Unreadable, match="token"):
            releases.find(asked, "models")
        assert kubernetes.asked == []

    def test_a_server_that_the_certificate_authority_does_not_vouch_for_gets_no_token(self, account):
        """Somebody in between is refused before anything is said."""
        for name in ("ca", "other"):
            certificate = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
            names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
            files = ["-keyout", str(account / f"{name}.key"), "-out", str(account / f"{name}.crt")]
            subprocess.run(["openssl", "req", *certificate, *names, *files], check=True, capture_output=True)
        said = []
        for name in ("ca", "other"):
            with secure(account / f"{name}.crt", account / f"{name}.key", said) as address:
                try:
                    releases.find(api.Api(address, account), "models")
                except api.Unreadable as error:
                    said.append(str(error))
        assert said[:2] == ["Bearer secret"] * 2
        assert len(said) == 3
        assert "CERTIFICATE_VERIFY_FAILED" in said[2]

    def test_a_redirect_is_not_followed(self, kubernetes, asked):
        """The token goes to the API and nowhere else."""

        def elsewhere(handler):
            handler.send_response(302)
            handler.send_header("Location", f"{kubernetes.address}{SERVICES}?stolen=yes")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        kubernetes.answer = elsewhere
        with pytest.raises(api.Unreadable, match="302"):
            releases.find(asked, "models")
        assert len(kubernetes.asked) == 1


class TestPage:
    """What people read."""

    def test_a_release_is_a_card_with_a_link(self, kubernetes, asked):
        """Title, what it answers, and where; the way for programs stands below."""
        text = shown(kubernetes, asked, service("churn", title="Who leaves?", description="Whether a customer goes."))
        seen = Seen(text)
        assert seen.links == ["models/churn/", "models/churn/model"]
        assert [tag for tag in seen.tags if tag in ("h1", "h2", "details")] == ["h1", "h2", "details"]
        assert {"Who leaves?", "Whether a customer goes.", "Models"} <= set(seen.texts)
        assert "curl ADDRESS/models/churn/model" in seen.texts

    def test_cards_are_sorted_by_title(self, kubernetes, asked):
        """As people look for them, whatever the releases are called."""
        text = shown(kubernetes, asked, service("a", title="zebras"), service("b", title="Apples"), service("c"))
        assert Seen(text).links[:3] == ["models/b/", "models/c/", "models/a/"]

    def test_a_batch_release_is_a_card_without_a_link(self, kubernetes, asked):
        """Nobody can ask it; it says when it scores."""
        text = shown(kubernetes, asked, jobs=[cron_job("nightly", title="Nightly")])
        assert Seen(text).links == []
        assert "Runs by itself every day at 06:00 (Europe/Berlin)" in text
        assert "details" not in Seen(text).tags
        assert "Choose one" not in text

    def test_a_release_with_both_is_one_card(self, kubernetes, asked):
        """Two cards with one title would be a riddle; a job that is held says so."""
        jobs = [cron_job("churn", title="Old"), cron_job("churn", "5 * * * *", None, suspend=True)]
        text = shown(kubernetes, asked, service("churn", title="Who leaves?"), jobs=jobs)
        assert Seen(text).tags.count("li") == 1
        assert "Old" not in text
        assert "every hour at 5 past (time of the cluster), but is paused at the moment" in text

    @pytest.mark.parametrize(
        ("cron", "words"),
        [
            ("30 18 * * *", "every day at 18:30"),
            ("0 7 * * 1", "every Monday at 07:00"),
            ("0 7 * * 7", "every Sunday at 07:00"),
            ("15 3 1 * *", "on day 1 of every month at 03:15"),
            ("0 * * * *", "every hour at 0 past"),
            ("*/5 * * * *", "on the schedule <code>*/5 * * * *</code>"),
            ("0 7 1 * 1", "on the schedule <code>0 7 1 * 1</code>"),
            ("@daily", "on the schedule <code>@daily</code>"),
            ("99 99 * * *", "on the schedule <code>99 99 * * *</code>"),
            ("<b> * * * *", "on the schedule <code>&lt;b&gt; * * * *</code>"),
        ],
    )
    def test_a_schedule_is_said_in_words(self, cron, words):
        """Where there are short ones; else it stands as it is."""
        assert page.when(releases.Schedule(cron, "UTC", False)) == f"{words} (UTC)"

    def test_without_releases_it_says_how_one_gets_here(self, kubernetes, asked):
        """The first thing that whoever installs the platform sees."""
        text = shown(kubernetes, asked)
        assert "trifold deploy NAME@alias" in text
        assert not {"ul", "details"} & set(Seen(text).tags)

    @pytest.mark.parametrize("text", HOSTILE)
    def test_no_text_becomes_markup(self, kubernetes, asked, text):
        """Whoever may label a Service may not run a script in everybody's browser."""
        version = {"app.kubernetes.io/version": text}
        hostile = service("churn", title=text, description=text, labels=version)
        job = cron_job("nightly", text, text, title=text, description=text)
        harmless = shown(
            kubernetes, asked, service("churn", title="t", description="t"), jobs=[cron_job("nightly", "x")]
        )
        seen, expected = Seen(shown(kubernetes, asked, hostile, jobs=[job])), Seen(harmless)
        assert set(seen.tags) <= {*expected.tags, "p", "code"}
        assert seen.tags.count("li") == 2
        assert seen.attributes == expected.attributes
        assert seen.links == expected.links
        assert " ".join(text.replace("\0", " ").split()) in " ".join(seen.texts)

    def test_holds_no_script_and_nothing_from_elsewhere(self, kubernetes, asked):
        """The policy that the gateway sends with it would refuse both."""
        text = shown(kubernetes, asked, service("churn"), jobs=[cron_job("nightly")])
        assert not {"script", "style", "img", "iframe", "form"} & set(Seen(text).tags)
        assert not {name for name in Seen(text).attributes if name.startswith("on") or name == "style"}
        assert "//" not in text.replace("curl ADDRESS", "")
        assert b"url(" not in server.STYLE
        assert b"@import" not in server.STYLE

    def test_an_old_list_says_of_when_it_is(self):
        """A page that may be wrong does not pretend."""
        text = page.render(releases.Found(), datetime(2026, 11, 5, 7, 8, tzinfo=UTC))
        assert "This list may be out of date: it is of 5 November 2026, 07:08 UTC." in text


class TestKeeper:
    """What stays, and what is said, when the API comes and goes."""

    def test_the_last_page_stays_and_each_change_is_one_line(self, kubernetes, asked, capsys):
        """A log that repeats itself every five seconds is not read."""
        kept = keeper.Keeper(asked, "models")
        kubernetes.objects[SERVICES] = [service("churn")]
        for answer in (None, None, lambda handler: say(handler, {}, 500)):
            kubernetes.answer = answer
            kept.look()
            kept.look()
            assert b"models/churn/" in kept.page
        kubernetes.answer = None
        kept.look()
        assert capsys.readouterr().err.splitlines() == [
            "The list of releases can be read; the page shows 1.",
            "The list of releases cannot be read, the last page stays: "
            f"{SERVICES} is answered 500 Internal Server Error",
            "The list of releases can be read; the page shows 1.",
        ]

    def test_without_a_first_list_there_is_no_page(self, kubernetes, asked, capsys):
        """An empty page would say that there are no models, which nobody knows."""
        kubernetes.answer = lambda handler: say(handler, {}, 403)
        kept = keeper.Keeper(asked, "models")
        kept.look()
        kept.look()
        assert kept.page is None
        assert len(capsys.readouterr().err.splitlines()) == 1

    def test_half_a_list_changes_nothing(self, kubernetes, asked):
        """Jobs that cannot be read do not make the models vanish."""
        kept = keeper.Keeper(asked, "models")
        kubernetes.objects[SERVICES] = [service("churn")]
        kept.look()
        before = kept.page
        kubernetes.objects[SERVICES] = []
        del kubernetes.objects[CRON_JOBS]
        kept.look()
        assert kept.page == before

    def test_a_page_that_was_not_renewed_says_so_until_it_is(self, kubernetes, asked, monkeypatch):
        """After a minute; a hiccup is not worth a word."""
        monkeypatch.setattr(keeper, "OUTDATED_SECONDS", 0)
        kept = keeper.Keeper(asked, "models")
        kept.look()
        fresh = kept.page
        kubernetes.answer = lambda handler: say(handler, {}, 500)
        kept.look()
        assert b"may be out of date" in kept.page
        kubernetes.answer = None
        kept.look()
        assert kept.page == fresh

    def test_the_same_list_makes_no_new_page(self, kubernetes, asked):
        """What was served a second ago is served as it was."""
        kept = keeper.Keeper(asked, "models")
        kept.look()
        before = kept.page
        kept.look()
        assert kept.page is before

    def test_a_keeper_that_hangs_is_not_alive(self, kubernetes, asked, monkeypatch):
        """Kubernetes starts it anew; a look in vain is none that hangs."""
        kubernetes.answer = lambda handler: say(handler, {}, 500)
        kept = keeper.Keeper(asked, "models")
        kept.look()
        assert kept.alive
        monkeypatch.setattr(keeper, "STUCK_SECONDS", 0)
        assert not kept.alive


@dataclass
class Shown:
    """A keeper, as far as the server asks it."""

    page: bytes | None = None
    alive: bool = True


class TestServer:
    """What the gateway and the probes get."""

    @pytest.fixture
    def ask(self):
        """Asks a server of what `Shown` shows."""
        kept = Shown()
        listening = server.start(kept, 0)

        def send(method, path, **changes):
            for name, value in changes.items():
                setattr(kept, name, value)
            connection = http.client.HTTPConnection("127.0.0.1", listening.server_port, timeout=10)
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer.status, answer.headers, body

        yield send
        listening.shutdown()
        listening.server_close()

    def test_is_not_ready_before_the_first_page(self, ask):
        """So that a rollout whose rights are missing does not go through."""
        assert ask("GET", "/")[0] == 503
        assert ask("GET", "/", page=b"<p>")[0] == 200

    def test_serves_the_page_and_its_style(self, ask):
        """With their media types, and a tag by which a browser sees that nothing changed."""
        status, headers, body = ask("GET", "/", page=b"<p>here")
        assert (status, body, headers["Content-Type"]) == (200, b"<p>here", "text/html; charset=utf-8")
        assert ask("GET", "/", page=b"<p>there")[1]["ETag"] != headers["ETag"]
        status, headers, body = ask("GET", "/front-page.css")
        assert (status, body, headers["Content-Type"]) == (200, server.STYLE, "text/css; charset=utf-8")

    def test_head_has_no_body(self, ask):
        """But all headers."""
        status, headers, body = ask("HEAD", "/", page=b"<p>")
        assert (status, headers["Content-Length"], body) == (200, "3", b"")

    @pytest.mark.parametrize("path", ["/../etc/passwd", "/style.css", "/?x", "/%2e", "/livez/"])
    def test_serves_nothing_else(self, ask, path):
        """No path is a path of files."""
        assert ask("GET", path)[0] == 404

    def test_says_whether_it_is_alive(self, ask):
        """What the liveness probe asks."""
        assert ask("GET", "/livez")[0] == 200
        assert ask("GET", "/livez", alive=False)[0] == 503


class TestProcess:
    """The container's command."""

    @pytest.fixture
    def started(self, kubernetes, account):
        """The process, once it said its first line, and that line."""
        told = {"FRONT_PAGE_API": kubernetes.address, "FRONT_PAGE_ACCOUNT": str(account), "FRONT_PAGE_PORT": "0"}
        process = subprocess.Popen(
            [sys.executable, "-m", "front_page"], cwd=FOLDER, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **told, "FRONT_PAGE_NAMESPACE": "models", "FRONT_PAGE_SECONDS": "0.05"},
        )  # fmt: skip
        yield process, process.stderr.readline()
        process.kill()
        process.communicate()

    def test_looks_again_and_again_and_ends_at_sigterm(self, started, kubernetes):
        """At once and with 0, not after the 30 s that Kubernetes would give it; and says nothing more."""
        process, line = started
        assert line == "The list of releases can be read; the page shows 0.\n"
        ends = time.monotonic() + 20
        while len(kubernetes.asked) < 10:
            assert time.monotonic() < ends
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=5)[1] == ""
        assert process.returncode == 0
