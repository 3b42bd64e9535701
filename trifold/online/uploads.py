"""POST /predict/image and POST /predict/csv: files, as people have them."""

import functools
import logging
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive, Scope

from trifold import metrics
from trifold.contract.contract import Contract
from trifold.contract.csv import ENCODINGS
from trifold.errors import BodyRefused
from trifold.online import lists
from trifold.online.admission import Admission
from trifold.online.demand import Demand
from trifold.online.predict import MOST_REFUSED, Endpoint, Headers, require_headers
from trifold.online.refusals import Answer, Refused
from trifold.online.release import Release
from trifold.pictures import MOST_BYTES
from trifold.rows import Rows

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "image"
ENVELOPE = 65_536
"""Bytes of a multipart body around its file."""
ONE_FILE = f'one file in the field "{FIELD}"'
CSV = "text/csv"
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # a line a bad form would let a stranger fill the disk


class PredictImage(Endpoint):
    """POST /predict/image: one picture, in the field "image" of a multipart form."""

    path = "/predict/image"

    def fits(self, contract: Contract) -> bool:
        """A model of pictures has it."""
        return contract.image is not None

    async def answer(self, scope: Scope, receive: Receive, release: Release, admission: Admission) -> Answer:
        """Status and body for one picture."""
        media = require_headers(scope["headers"], "multipart/form-data", MOST_BYTES + ENVELOPE)
        demand = Demand.read(self.path, scope["headers"], admission.clock())
        async with admission.body(receive, MOST_BYTES + ENVELOPE) as body:
            with admission.place(demand, len(body)) as ticket:
                file = await admission.step(demand, ticket, functools.partial(one_file, media, body))
                pixels = await scope["app"].state.decoder.read(file)
                work = functools.partial(_predict_picture, release, pixels)
                return 200, await admission.step(demand, ticket, work)


class PredictCsv(Endpoint):
    """POST /predict/csv: a table in CSV; the same table comes back with an answer or a reason in each row."""

    path = "/predict/csv"
    headers: ClassVar[Headers] = [
        (b"content-type", b"text/csv; charset=utf-8"),
        (b"content-disposition", b'attachment; filename="answers.csv"'),
    ]

    def fits(self, contract: Contract) -> bool:
        """A model of columns has it."""
        return contract.takes_tables

    async def answer(self, scope: Scope, receive: Receive, release: Release, admission: Admission) -> Answer:
        """Status and body for a table."""
        media = require_headers(scope["headers"], CSV, self.settings.max_body_bytes, any_charset=True)
        demand, encoding = Demand.read(self.path, scope["headers"], admission.clock()), charset(media)
        async with admission.body(receive, self.settings.max_body_bytes) as body:
            work = functools.partial(lists.answered, release.model, body, self.settings.max_rows, encoding)
            return 200, await admission.apart(demand, len(body), work)


def charset(media: bytes) -> str:
    """The charset that a Content-Type names, a name of ENCODINGS; empty where it names none.

    Raises:
        Refused: It is not known.
    """
    name = parse_options_header(media)[1].get(b"charset", b"").decode("latin-1").lower()
    if name and name not in ENCODINGS:
        raise Refused(415, "media_type", f"a charset of {', '.join(ENCODINGS)}", name)
    return name


def one_file(media: bytes, body: bytes) -> bytes:
    """The content of the one file in a multipart body.

    Args:
        media: The Content-Type, with the boundary.
        body: The whole body.

    Raises:
        BodyRefused: It is damaged, or holds something else or something more.
    """
    form = _Form()
    boundary = parse_options_header(media)[1].get(b"boundary")
    if not boundary:
        raise BodyRefused(ONE_FILE, "a form without a boundary")
    try:
        parser = MultipartParser(boundary, form.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise BodyRefused(ONE_FILE, f"a form that cannot be read: {error}") from None
    if not form.ended:
        raise BodyRefused(ONE_FILE, "a form that was cut off")
    return b"".join(form.pieces)


class _Form:
    """What python-multipart's parser finds in a body."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = False
        self._seen = False
        self._name = self._value = self._disposition = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": lambda data, start, end: self.pieces.append(data[start:end]),
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if self._seen:
            raise BodyRefused(ONE_FILE, "two parts or more")
        self._seen = True

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")[:50]
        if b"filename" not in options:
            raise BodyRefused(ONE_FILE, f'text in the field "{name}", which is no file')
        if name != FIELD:
            raise BodyRefused(ONE_FILE, f'a file in the field "{name}"')

    def _end(self) -> None:
        self.ended = True


def _predict_picture(release: Release, pixels: bytes) -> bytes:
    tensor, image = release.model.contract.signature.tensor, release.model.contract.image
    assert tensor is not None
    assert image is not None
    picture = np.frombuffer(pixels, dtype="uint8").reshape(1, *tensor.shape)
    answers = release.model.predict(Rows(matrix=picture.astype(tensor.dtype)), most_refused=MOST_REFUSED)
    metrics.ROWS.labels("online").inc()
    if image.likeness is None:
        return release.render(answers)
    return release.render(answers, like_training=image.likeness.like(picture.reshape(1, *image.shape)).tolist())
