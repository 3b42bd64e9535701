"""Registry: a container beside the nodes that images go through, so that a layer which is there is not moved again.

Measured on 2 cores with an image of 1.1 GB: `kind load docker-image` 36 s, `docker save` straight into containerd 39 s,
through a registry 44 s. The same image with 1 MB more on top: 22 s without a registry, 0.3 s with it.
"""

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from k8s.kind import docker, nodes, parts, programs, state
from k8s.kind.errors import ClusterError
from k8s.kind.offline import archives
from k8s.kind.programs import Builder
from k8s.kind.settings import Settings
from k8s.kind.steps import Steps

NAME = "trifold-registry"
"""Its container, its volume, and its host name in the network of the nodes."""
INSIDE = f"{NAME}:5000"
STOCK = "registry:3"
CONFIG = Path(__file__).parent / "registry.yaml"
CONFIG_PATH = "/etc/distribution/config.yml"
START_SECONDS = 20


def ensure(settings: Settings, steps: Steps) -> str:
    """Start the registry unless it runs; its address on this machine.

    Raises:
        ClusterError: It does not answer.
    """
    found = _address()
    if found:
        return found
    image = _image(settings, steps)
    with steps.step("registry", "for images on their way to the nodes"):
        subprocess.run(["docker", "rm", "--force", NAME], capture_output=True, check=False)
        published = f"127.0.0.1:{settings.registry_port}:5000"
        options = ["--name", NAME, "--network", "kind", "--publish", published, "--restart", "unless-stopped"]
        steps.run("registry", ["docker", "run", "--detach", *options, "--volume", f"{NAME}:/var/lib/registry", image])
        ends = time.monotonic() + START_SECONDS
        while not (found := _address()):
            if time.monotonic() > ends:
                raise ClusterError(f"The registry did not answer in {START_SECONDS} s: docker logs {NAME} says why.")
            time.sleep(0.1)
    return found


def connect(settings: Settings, steps: Steps) -> str:
    """Let the nodes pull from the registry under the name that this machine pushes to; gives that name.

    Raises:
        ClusterError: There is no cluster of ours.
    """
    found = nodes.listed(settings)
    if not found:
        raise ClusterError("No cluster of ours runs here: make cluster, then again.")
    address = ensure(settings, steps)
    content = f'[host."http://{INSIDE}"]\n  capabilities = ["pull", "resolve"]\n'
    for node in found:
        script = f"mkdir -p {state.HOSTS}/{address} && cat >{state.HOSTS}/{address}/hosts.toml"
        argv = ["docker", "exec", "--interactive", node, "sh", "-c", script]
        subprocess.run(argv, input=content, text=True, check=True, capture_output=True)
    return address


def remove(*, volume: bool) -> None:
    """Remove the registry's container; with its volume, every layer that it keeps."""
    subprocess.run(["docker", "rm", "--force", NAME], capture_output=True, check=False)
    if volume:
        subprocess.run(["docker", "volume", "rm", NAME], capture_output=True, check=False)


def _address() -> str:
    """Its address, if it answers there."""
    argv = ["docker", "port", NAME, "5000/tcp"]
    listed = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        return ""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{listed[0]}/v2/", timeout=3):
            return listed[0]
    except (urllib.error.URLError, OSError):
        return ""


def _image(settings: Settings, steps: Steps) -> str:
    """The registry's image: the stock one where Docker can pull it, else one of the program compiled here."""
    if docker.ask_registry(STOCK)[0] is docker.Pull.HAS:
        return STOCK
    folder = Builder(settings, steps).build(programs.NODE[0])
    tag = f"trifold/registry:{folder.name}"
    if not docker.has_image(tag):
        part = parts.new(settings.cache, "registry")
        archive = part / "image.tar"
        files = {"registry": folder / "registry", CONFIG_PATH: CONFIG}
        archives.write(archive, [tag], files, entrypoint=["/registry", "serve", CONFIG_PATH])
        with archive.open("rb") as content:
            steps.run("docker", ["docker", "load"], stdin=content)
        parts.remove(part)
    return tag
