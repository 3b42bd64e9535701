"""What stands in the way of a cluster is said in a sentence, before anything is made."""

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from k8s.kind import machine
from k8s.kind.errors import ClusterError

Usage = namedtuple("Usage", "total used free")


def test_a_taken_port_is_named_with_the_variable_that_changes_it() -> None:
    """The reader sees which port, whose, and what to set."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"{port} .kafka; TRIFOLD_KAFKA_PORT chooses another.*Nothing was made"):
            machine.require_ports({"kafka": port})
    machine.require_ports({"kafka": port})


def test_a_port_that_was_in_use_a_moment_ago_is_free() -> None:
    """A connection in TIME_WAIT does not block `make down cluster`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server.accept()[0].close()
        client.close()
    machine.require_ports({"gateway": port})


def test_too_little_disk_is_said_with_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image build that fails for space after ten minutes would be worse."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(20, 6, 14_000_000_000))
    with pytest.raises(ClusterError, match=r"14\.0 GB are free .* 15 GB are needed.*TRIFOLD_CACHE"):
        machine.require_disk(tmp_path / "not" / "there")


@pytest.mark.parametrize(("mask", "lacks"), [("000001fffeffffff", True), ("000001ffffffffff", False)])
def test_a_machine_without_sys_resource_is_told_by_its_bounding_set(mask: str, lacks: bool, tmp_path: Path) -> None:
    """Bit 24: a privileged container fails without a word about it."""
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapEff:\t0000000000000000\nCapBnd:\t{mask}\n")
    assert machine.lacks_sys_resource(status) is lacks


def test_the_mtu_is_that_of_the_card_with_the_default_route(tmp_path: Path) -> None:
    """Not of a bridge or of the first card."""
    for card, size in (("eth0", 1400), ("docker0", 1500)):
        (tmp_path / card).mkdir()
        (tmp_path / card / "mtu").write_text(f"{size}\n")
    route = tmp_path / "route"
    route.write_text("Iface\tDestination\tGateway\ndocker0\t000011AC\t0\neth0\t00000000\t0100000A\n")
    assert machine.mtu(tmp_path, route) == 1400
    route.write_text("Iface\tDestination\tGateway\n")
    assert machine.mtu(tmp_path, route) == 1500


def test_a_smaller_card_than_dockers_network_is_said() -> None:
    """Large packets would vanish: downloads in pods hang while small ones work."""
    assert '"mtu": 1400' in str(machine.mtu_hint(1500, 1400))
    assert machine.mtu_hint(1400, 1400) is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HTTP_PROXY": "http://proxy:3128"}, True),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "example.com"}, True),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,127.0.0.1"}, False),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, False),
        ({}, False),
    ],
)
def test_a_proxy_that_would_be_asked_for_the_ports_is_said(environment: dict[str, str], said: bool) -> None:
    """Else curl to 127.0.0.1:8080 answers with the proxy's error page."""
    assert ("NO_PROXY" in (machine.proxy_hint(environment) or "")) is said


def test_cgroups_are_told_by_the_unified_hierarchys_file(tmp_path: Path) -> None:
    """As kind and systemd tell them."""
    assert machine.cgroup_version(tmp_path) == 1
    (tmp_path / "cgroup.controllers").touch()
    assert machine.cgroup_version(tmp_path) == 2
