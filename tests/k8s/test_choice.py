"""Which way to a cluster is taken, from what Docker really answers."""

import http.server
import itertools
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from k8s.kind import docker
from k8s.kind.docker import Daemon, Machine, Pull, Way, choose
from k8s.kind.errors import ClusterError

# Recorded with Docker 20.10.24 and 28.2.2, against registries that are down, silent, or refuse.
NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
NO_GROUP = (
    "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get"
    ' "http://%2Fvar%2Frun%2Fdocker.sock/v1.24/version": dial unix /var/run/docker.sock: connect: permission denied'
)
PULLED = "v1.36.1: Pulling from kindest/node\nStatus: Downloaded newer image for kindest/node:v1.36.1\n"
NO_NAME = (
    'Error response from daemon: Get "https://registry-1.docker.io/v2/":'
    " dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: no such host\n"
)
REFUSED = (
    'Error response from daemon: Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused\n'
)
TIMED_OUT = (
    'Error response from daemon: Get "http://127.0.0.1:5980/v2/": net/http: request canceled'
    " (Client.Timeout exceeded while awaiting headers)\n"
)
DENIED = "Error response from daemon: denied\n"
UNKNOWN = "Error response from daemon: manifest unknown\n"
LIMIT = "Error response from daemon: toomanyrequests: You have reached your pull rate limit.\n"
BROKEN = "Error response from daemon: received unexpected HTTP status: 500 Internal Server Error\n"
FULL = "failed to register layer: Error processing tar file(exit status 1): write /bin/x: no space left on device\n"


def machine(daemon: Daemon = Daemon.RUNS, pull: Pull = Pull.HAS, **more: object) -> Machine:
    """A machine where all is well, but for what a test changes."""
    facts = {"context": None, "root": True, "debian": True, "cgroup": 2} | more
    return Machine(daemon=daemon, pull=pull, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [(0, "", Daemon.RUNS), (1, NO_DAEMON, Daemon.DOWN), (1, NO_GROUP, Daemon.FORBIDDEN), (None, "", Daemon.DOWN)],
)
def test_dockers_answer_about_its_daemon_is_read(code: int | None, said: str, expected: Daemon) -> None:
    """A daemon that is down and one that we may not use need different help."""
    assert docker.daemon_state(code, said) is expected


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (0, PULLED, Pull.HAS),
        (None, "", Pull.SILENT),
        (1, FULL, Pull.FULL),
        *((1, said, Pull.REFUSED) for said in (NO_NAME, REFUSED, TIMED_OUT, DENIED, UNKNOWN, LIMIT, BROKEN)),
    ],
)
def test_dockers_answer_to_a_pull_is_read(code: int | None, said: str, expected: Pull) -> None:
    """Whatever keeps the image away leads to the other way, but a full disk would not be mended by it."""
    assert docker.pull_state(code, said) is expected


def test_a_named_context_is_taken_whatever_docker_says() -> None:
    """Who has a cluster is never given another one."""
    for daemon, pull, root in itertools.product(Daemon, Pull, (True, False)):
        assert choose(machine(daemon, pull, root=root, context="prod")) is Way.CONTEXT


def test_a_docker_that_can_pull_gives_the_stock_cluster() -> None:
    """On a normal machine nothing is compiled, root or not."""
    assert choose(machine()) is Way.STOCK
    assert choose(machine(root=False, debian=False)) is Way.STOCK


@pytest.mark.parametrize("pull", [Pull.SILENT, Pull.REFUSED])
def test_a_docker_that_cannot_pull_gets_an_image_from_packages(pull: Pull) -> None:
    """Docker without a registry is used with an image that is built here."""
    assert choose(machine(pull=pull)) is Way.OFFLINE


@pytest.mark.parametrize("daemon", [Daemon.ABSENT, Daemon.DOWN])
def test_root_without_docker_gets_a_daemon_of_its_own(daemon: Daemon) -> None:
    """Where none runs, root can start one."""
    assert choose(machine(daemon, Pull.UNASKED)) is Way.OFFLINE


def test_cgroup_v1_takes_the_image_from_packages() -> None:
    """The stock image's systemd does not start on cgroup v1."""
    assert choose(machine(cgroup=1)) is Way.OFFLINE


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (machine(Daemon.FORBIDDEN, Pull.UNASKED, root=False), "usermod -aG docker"),
        (machine(Daemon.DOWN, Pull.UNASKED, root=False), "start Docker"),
        (machine(Daemon.ABSENT, Pull.UNASKED, root=False), "TRIFOLD_CONTEXT"),
        (machine(pull=Pull.FULL), "docker system prune"),
        (machine(pull=Pull.REFUSED, debian=False), "registry"),
        (machine(cgroup=1, debian=False), "cgroup v1"),
        (machine(Daemon.DOWN, Pull.UNASKED, debian=False), "TRIFOLD_CONTEXT"),
    ],
)
def test_where_no_way_is_open_the_error_says_what_would_open_one(given: Machine, says: str) -> None:
    """One sentence with the next step, instead of a stack trace."""
    with pytest.raises(ClusterError, match=says):
        choose(given)


@pytest.mark.parametrize("facts", itertools.product(Daemon, Pull, (True, False), (True, False), (1, 2)))
def test_every_machine_gets_a_way_or_a_sentence(facts: tuple[Daemon, Pull, bool, bool, int]) -> None:
    """No combination ends in anything else, and only root on Debian ever builds."""
    daemon, pull, root, debian, cgroup = facts
    given = machine(daemon, pull, root=root, debian=debian, cgroup=cgroup)
    stock = daemon is Daemon.RUNS and pull is Pull.HAS and cgroup == 2
    builds = debian and pull is not Pull.FULL and (daemon is Daemon.RUNS or (root and daemon is not Daemon.FORBIDDEN))
    if stock or builds:
        assert choose(given) is (Way.STOCK if stock else Way.OFFLINE)
    else:
        with pytest.raises(ClusterError, match=r"\.$"):
            choose(given)


@contextmanager
def registry(status: int | None) -> Iterator[str]:
    """A registry on loopback that answers every manifest with a status, or with silence."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v2/" else status or 0)
            body = json.dumps({"errors": [{"code": "UNKNOWN", "message": "no"}]}).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    if status is None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield f"127.0.0.1:{silent.getsockname()[1]}"
        return
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.cluster
@pytest.mark.parametrize(("status", "expected"), [(403, Pull.REFUSED), (404, Pull.REFUSED), (None, Pull.SILENT)])
def test_a_real_docker_is_given_up_when_its_registry_does_not_deliver(
    status: int | None, expected: Pull, cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon of the cluster's machine is asked for real: a registry that refuses or is silent costs seconds."""
    cluster.here(monkeypatch)
    if docker.ask_daemon() is not Daemon.RUNS or not shutil.which("docker"):
        pytest.skip("no Docker here: the cluster is the user's own")
    monkeypatch.setattr(docker, "PULL_SECONDS", 3)
    with registry(status) as address:
        assert docker.ask_registry(f"{address}/kindest/node:v0")[0] is expected
