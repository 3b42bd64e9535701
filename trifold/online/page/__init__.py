"""The page at `/`, for people who never saw a terminal: a form, pictures or lists, made from the model's contract.

Nothing comes from another host, and no script or style stands in the page itself, which its policy forbids.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import jinja2

from trifold.contract.profile import Profile
from trifold.model import Model
from trifold.online.lines import address, curl_line
from trifold.online.page.fields import fields, shape
from trifold.packed import Packed
from trifold.pictures import MOST_BYTES
from trifold.settings import Settings

GATEWAY = re.compile(r"/models/[a-z0-9-]+")
"""The prefix by which the platform's gateway reaches a release; its front page is two levels up."""
FOLDER = Path(__file__).parent
MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
FILES: Mapping[str, tuple[bytes, str]] = {
    path.name: (path.read_bytes(), MEDIA[path.suffix]) for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA
}
"""Content and media type of what the page loads, by name."""
MOST_METRICS = 8
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-cache",
}
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
)


def render(model: Model, packed: Packed, settings: Settings, scheme: str, host: str, prefix: str) -> str:
    """The page, for a reader who reached the server by a scheme and host, under a prefix."""
    contract = model.contract
    profile = contract.profile or Profile()
    found = () if contract.image else fields(contract)
    return _ENVIRONMENT.get_template("page.html").render(
        title=packed.title,
        description=packed.about,
        note=profile.note,
        name=packed.name,
        version=packed.version,
        front="../../" if GATEWAY.fullmatch(prefix) else None,
        image=contract.image,
        samples=contract.image.samples if contract.image else (),
        most_megabytes=MOST_BYTES // 10**6,
        fields=found,
        form_title="What do you know?" if len(found) > 1 else "Your question",
        shape=shape(contract),
        examples=bool(packed.input_example),
        lists=contract.takes_tables,
        most_rows=f"{settings.max_rows:,}",
        metrics=[(name, f"{value:.4g}") for name, value in sorted(packed.metrics.items())[:MOST_METRICS]],
        answers=_answers(model, profile),
        curl=curl_line(address(scheme, host, prefix), packed),
    )


def _answers(model: Model, profile: Profile) -> str:
    if len(model.labels) == 1:
        return ", ".join(model.labels[0][:20]) + (" …" if len(model.labels[0]) > 20 else "")
    if model.labels:
        return f"{len(model.labels)} answers a row"
    return f"in {profile.unit}" if profile.unit else "as the model gives them"
