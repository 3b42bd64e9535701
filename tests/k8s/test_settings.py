"""Settings of the local cluster, from the environment."""

from pathlib import Path

import pytest

from k8s.kind.errors import ClusterError
from k8s.kind.settings import NODE_PORTS, PORTS, read


def test_without_variables_the_defaults_hold() -> None:
    """`make cluster` needs nothing set."""
    settings = read({"HOME": "/home/ada"})
    assert (settings.name, settings.nodes, settings.context, dict(settings.ports)) == ("trifold", 1, None, PORTS)


def test_each_port_has_a_node_port_of_its_own() -> None:
    """Two Services on one NodePort would be refused only at install."""
    assert PORTS.keys() == NODE_PORTS.keys()
    assert len(set(NODE_PORTS.values())) == len(NODE_PORTS)
    assert all(30000 <= port <= 32767 for port in NODE_PORTS.values())


def test_every_port_can_be_chosen(tmp_path: Path) -> None:
    """Whoever has a PostgreSQL on 5432 takes another."""
    given = {f"TRIFOLD_{name.upper()}_PORT": str(20000 + number) for number, name in enumerate(PORTS)}
    assert list(read({**given, "TRIFOLD_CACHE": str(tmp_path)}).ports.values()) == [20000, 20001, 20002, 20003]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"TRIFOLD_NODES": "two"}, "TRIFOLD_NODES is 'two': give a whole number from 1 to 9"),
        ({"TRIFOLD_NODES": "0"}, "from 1 to 9"),
        ({"TRIFOLD_NODES": "-1"}, "from 1 to 9"),
        ({"TRIFOLD_KAFKA_PORT": "70000"}, "TRIFOLD_KAFKA_PORT is '70000'"),
        ({"TRIFOLD_KAFKA_PORT": "²"}, "TRIFOLD_KAFKA_PORT"),
        ({"TRIFOLD_REGISTRY_PORT": "0"}, "TRIFOLD_REGISTRY_PORT is '0'"),
        ({"TRIFOLD_KAFKA_PORT": "8080"}, "Two of the ports are the same"),
        ({"TRIFOLD_CLUSTER": "My Cluster"}, "TRIFOLD_CLUSTER is 'My Cluster'"),
        ({"TRIFOLD_CLUSTER": "../x"}, "TRIFOLD_CLUSTER"),
        ({"TRIFOLD_CACHE": "/" + "x" * 120}, "too long for a socket"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_name(variables: dict[str, str], says: str) -> None:
    """A typing error is said before anything is made."""
    with pytest.raises(ClusterError, match=says):
        read(variables)
