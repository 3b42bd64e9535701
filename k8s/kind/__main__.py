"""python -m k8s.kind up | down | clean | env | build | load | registry: the local cluster's command."""

import argparse
import shlex
import sys

from k8s.kind import images, registry
from k8s.kind.cluster import Cluster, alone
from k8s.kind.errors import ClusterError
from k8s.kind.settings import Settings, read
from k8s.kind.steps import Steps

EXAMPLE = """examples:
  python -m k8s.kind up                        a cluster, by whichever way this machine has
  TRIFOLD_NODES=2 python -m k8s.kind up        with two nodes
  TRIFOLD_CONTEXT=prod python -m k8s.kind up   in a cluster that you have
  eval "$(python -m k8s.kind env)"             KUBECONFIG and PATH for this shell

environment: TRIFOLD_CONTEXT, TRIFOLD_NODES (1), TRIFOLD_NODE_IMAGE (kindest/node:v1.36.1), TRIFOLD_CLUSTER (trifold),
TRIFOLD_CACHE (~/.cache/trifold), TRIFOLD_DEBIAN_MIRROR,
TRIFOLD_GATEWAY_PORT (8080), TRIFOLD_MLFLOW_PORT (5000), TRIFOLD_KAFKA_PORT (9092), TRIFOLD_POSTGRES_PORT (5432),
TRIFOLD_REGISTRY_PORT (5001)
"""


def main(argv: list[str]) -> int:
    """Run one command; 0 if it did what it says."""
    parser = argparse.ArgumentParser(
        prog="python -m k8s.kind", epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="make the cluster; done in seconds when it is there")
    commands.add_parser("down", help="undo up and nothing else")
    commands.add_parser("clean", help="down, and delete the caches")
    commands.add_parser("env", help="print what a shell needs")
    build = commands.add_parser("build", help="build images of k8s/images")
    build.add_argument("name", nargs="*", help=f"one of {', '.join(images.names())}; all by default")
    load = commands.add_parser("load", help="put images of Docker's into the cluster, once each")
    load.add_argument("image", nargs="+")
    commands.add_parser("registry", help="let the nodes pull what you push to a registry here, and print its address")
    arguments = parser.parse_args(argv)
    try:
        settings = read()
        if arguments.command == "env":
            for name, value in Cluster(settings).environment().items():
                print(f"export {name}={_quoted(value)}")
            return 0
        with alone(settings):
            _run(Cluster(settings), settings, arguments)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(cluster: Cluster, settings: Settings, arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "up":
            cluster.up()
        case "down":
            cluster.down()
        case "clean":
            cluster.clean()
        case "build":
            images.build(settings, arguments.name or images.names())
        case "load":
            images.load(settings, arguments.image)
        case "registry":
            print(registry.connect(settings, Steps(settings.cache / "log")))


def _quoted(value: str) -> str:
    head, dollar, tail = value.partition("$PATH")
    return f'{shlex.quote(head)}"$PATH"{tail}' if dollar else shlex.quote(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
