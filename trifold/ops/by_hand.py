"""What `trifold deploy` does, as commands for a shell, and where a release is reached."""

import os
import shlex
from collections.abc import Sequence

from trifold.online.lines import curl_line
from trifold.ops import images
from trifold.ops.deploy import TEST_SECONDS, load_command
from trifold.ops.helm import Target
from trifold.ops.images import Image
from trifold.ops.packaging import Built
from trifold.ops.releases import STREAM, Release
from trifold.packed import Packed


def image_of(built: Built, registry: str) -> Image:
    """The image as the lock file names it before it is there: in the registry, if one is given."""
    image = images.image_of(built)
    return images.pushed(image, registry) if registry else image


def commands(built: Built, image: Image, target: Target, upgrade: Sequence[str]) -> list[str]:
    """From the Bento to a release that was tested, a line each.

    Args:
        built: The Bento.
        image: What `image_of` gave.
        target: Where the release is.
        upgrade: What Helm is given (`Target.upgrade`).
    """
    here = images.image_of(built)
    variables = {**images.containerize_environment("$folder"), "TMPDIR": "$folder"}
    exports = " ".join(f'{name}="{value}"' for name, value in variables.items())
    containerize = shlex.join(images.containerize_command(built, here, images.secrets_of_shell()))
    lines = [f'(folder=$(mktemp -d) && cd "$folder" && {exports} {containerize})']
    install = shlex.join(upgrade)
    if image.name == here.name:
        lines.append(shlex.join(load_command(here.name)))
    else:
        lines += [shlex.join(["docker", "tag", here.name, image.name]), shlex.join(["docker", "push", image.name])]
        ask = shlex.join(["docker", "image", "inspect", "--format", "{{index .RepoDigests 0}}", image.name])
        install += f' --set image.digest="$({ask} | cut -d@ -f2)"'
    return [*lines, install, shlex.join(target.test(TEST_SECONDS))]


def where(built: Built, target: Target, found: Sequence[Release]) -> str:
    """How to use a release, by the modes it has.

    Args:
        built: Its Bento.
        target: Where it is.
        found: What `releases.releases` gave.
    """
    mine = [one for one in found if one.name == target.release]
    lines = [_online(built, target)] if any(one.mode == "online" for one in mine) else []
    namespace = "" if target.namespace == "models" else f" --namespace {target.namespace}"
    lines += [f"trifold run {target.release} {one.job}{namespace}" for one in mine if one.job]
    if any(one.job for one in mine):
        lines.append(f"trifold runs {target.release}{namespace}")
    if any(one.mode == STREAM for one in mine):
        option = namespace.replace("--namespace", "-n")
        lines += [f"trifold status{option}", f"trifold dead list {target.release}{option}"]
    return "\n".join(lines)


def _online(built: Built, target: Target) -> str:
    """Where it answers, with a line to try: by the gateway that `make env` names, else by a port-forward."""
    gateway = os.environ.get("TRIFOLD_GATEWAY")
    url = f"{gateway}/models/{target.release}" if gateway else "http://127.0.0.1:3000"
    service = f"service/{target.release}-online"
    lines = [] if gateway else [f"kubectl --namespace {target.namespace} port-forward {service} 3000:80"]
    return "\n".join([*lines, f"{url}/", "", "Try it:", curl_line(url, Packed.read(built.model))])
