"""The lock file: what exactly is deployed, as a Helm values file that people, GitOps and `trifold deploy` all use."""

import json
import re
from pathlib import Path

from trifold.errors import BuildError, DeployError
from trifold.ops.images import Image
from trifold.packed import Packed

TEXT = """\
# One model version and its image, pinned by `trifold build`; values for charts/model-serving:
#   helm upgrade --install {release} charts/model-serving --namespace models --values {file}
interface: {interface}
model:
  name: {name}
  version: {version}
  runId: {run_id}
  digest: {digest}
  title: {title}
  description: {description}
  parity: {parity}
image:
  repository: {repository}
  tag: {tag}
  digest: {image_digest}
"""
RELEASE = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
"""A release's name: what the gateway lets through, short enough for every object that is named after it."""

TITLE, DESCRIPTION = 200, 2000
"""Most characters of what people read; the chart refuses more."""
UNLIKE_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON lets stand in a string and YAML does not, or takes for the end of a line."""
HALF = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON can name and no file can hold."""


def write(file: Path, packed: Packed, image: Image) -> None:
    """Write the lock file, all at once; the same build writes the same bytes.

    Raises:
        BuildError: The folder is not there.
    """
    if not file.parent.is_dir():
        raise BuildError(f"There is no folder {file.parent} for the lock file; make it, or name another with --lock.")
    texts = {
        "name": packed.name,
        "version": packed.version,
        "run_id": packed.run_id,
        "digest": packed.digest,
        "title": _cut(packed.title, TITLE),
        "description": _cut(packed.about, DESCRIPTION),
        "parity": packed.parity,
        "repository": image.repository,
        "tag": image.tag,
        "image_digest": image.digest,
    }
    quoted = {name: _quoted(text) for name, text in texts.items()}
    where = {
        "release": release_of(image.repository.rpartition("/")[2]),
        "file": file.name,
        "interface": packed.interface,
    }
    text = TEXT.format(**where, **quoted)
    part = file.with_name(f".{file.name}.part")
    part.write_text(text)
    part.replace(file)


def require_release(name: str) -> None:
    """Make sure that a release may have this name.

    Raises:
        DeployError: It may not.
    """
    if not RELEASE.fullmatch(name):
        raise DeployError(f"{name!r} is no name for a release: give at most 40 of a-z, 0-9 and -, without - at an end.")


def release_of(model: str) -> str:
    """The release that a model gets when none is named: its own name as far as a release may have it."""
    return re.sub(r"[^a-z0-9]+", "-", model.lower())[:40].strip("-") or "model"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _quoted(text: str) -> str:
    """A string of YAML, which JSON's is but for some characters: no digest of digits is read as a number."""
    quoted = HALF.sub("\ufffd", json.dumps(text, ensure_ascii=False))
    return UNLIKE_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
