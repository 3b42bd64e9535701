"""PNG and JPEG files, chunk by chunk: whether one is whole, and the same file with the picture alone in it.

No pixel is decoded here. Chunks that a decoder does not need for the pixels are left out, so that it never sees texts,
colour profiles, previews, or what stands behind the end.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping

from trifold.errors import Reject, TrifoldError

MOST_PIXELS = 20_000_000
MOST_SIDE = 65_535
"""Pixels; Pillow holds a pointer for each line."""
MOST_PARTS = 20_000
"""Chunks of a PNG, or segments of a JPEG; each costs time, however small it is."""
MOST_SCANS = 32
"""Of a progressive JPEG; each is a pass over all pixels, and files as they are made have ten."""
MOST_TABLES = 100_000
"""Bytes of a JPEG's tables, of which usual files have a thousand."""
MOST_TEXT = 10_000_000
"""Bytes of a PNG's texts and colour profile when they are inflated."""
FORMAT = "a PNG or JPEG picture"
WHOLE = "a whole picture, from its beginning to its end"
ALONE = "a picture and nothing else"
CUT, DAMAGED = "one that was cut off", "a damaged one"
PNG_MAGIC, JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
NUMBERS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Bits a number and numbers a pixel, by a PNG's colour type."""
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced PNG: first column and line, and steps."""
CRITICAL = re.compile(rb"IHDR(PLTE)?(IDAT)+IEND")
PIECE, INFLATED = 65_536, 262_144
"""Bytes that are inflated at once, and that they may become at once."""
MARKER = re.compile(rb"\xff++([^\x00\xff])", re.DOTALL)
SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
"""What ends a JPEG's scan: a marker, but for those that restart it."""
SOF, TABLES, SOS, EOI = (0xC0, 0xC1, 0xC2), (0xC4, 0xDB, 0xDD), 0xDA, 0xD9
"""JPEG's markers: frames with Huffman coding, baseline and progressive; tables; a scan; the end."""
COM = 0xFE
KEPT = {(0xE0, b"JFIF\0"), (0xEE, b"Adobe")}
"""Segments of applications that say how colours are coded."""
ORIENTATION = 0x0112


class PictureRefused(TrifoldError):
    """Bytes that are no picture of ours.

    Attributes:
        rejects: The one reject that says why.
    """

    def __init__(self, expected: str, got: str, rule: str = "image") -> None:
        self.rejects = (Reject(0, None, rule, expected, got),)
        super().__init__(f"Expected {expected}, got {got}.")


def bare(data: bytes) -> tuple[bytes, int]:
    """The file without what changes no pixel, and its orientation as EXIF counts, from 1 to 8.

    Raises:
        PictureRefused: It is not one whole PNG or JPEG picture of a sane size, and nothing besides.
    """
    try:
        return _png(data) if data.startswith(PNG_MAGIC) else _jpeg(data)
    except (struct.error, IndexError, zlib.error):
        raise PictureRefused(WHOLE, DAMAGED) from None


def _png(data: bytes) -> tuple[bytes, int]:
    """Source of the layout: the W3C's PNG specification, third edition, sections 5, 8 and 11."""
    chunks: dict[bytes, list[memoryview]] = {}
    critical, end = [], 0
    for kind, content, end in _chunks(memoryview(data)):  # noqa: B007 - the last one's is used
        if kind in (b"acTL", b"fcTL"):
            raise PictureRefused("a picture that stands still", "an animation")
        if not kind[0] & 0x20:  # a small letter: whoever does not know this chunk may pass over it
            critical.append(kind)
        chunks.setdefault(kind, []).append(content)
    if b"IEND" not in chunks:
        raise PictureRefused(WHOLE, CUT)
    if not CRITICAL.fullmatch(b"".join(critical)) or data[12:16] != b"IHDR":
        raise PictureRefused(WHOLE, DAMAGED)
    if data[end:].strip(b"\0"):
        raise PictureRefused(ALONE, "a PNG with something behind its end")
    _require_pixels(chunks)
    _require_texts(chunks)
    kept = [_chunk(kind, chunks[kind]) for kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND") if kind in chunks]
    return b"".join([PNG_MAGIC, *kept]), _orientation(bytes(chunks.get(b"eXIf", [b""])[0]))


def _chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    """Kind and content of each chunk, and where it ends, up to the last or to where they are cut off."""
    position = len(PNG_MAGIC)
    for _ in range(MOST_PARTS):
        if position + 12 > len(view):
            return
        length, kind = struct.unpack_from(">I4s", view, position)
        start, end = position + 8, position + 8 + length
        if end + 4 > len(view):
            return
        if zlib.crc32(view[start - 4 : end]) != int.from_bytes(view[end : end + 4]):
            raise PictureRefused(WHOLE, DAMAGED)
        position = end + 4
        yield kind, view[start:end], position
        if kind == b"IEND":
            return
    raise PictureRefused(f"at most {MOST_PARTS} chunks", "more")


def _chunk(kind: bytes, contents: list[memoryview]) -> bytes:
    content = b"".join([kind, *contents])
    return b"".join([struct.pack(">I", len(content) - 4), content, struct.pack(">I", zlib.crc32(content))])


def _require_pixels(chunks: Mapping[bytes, list[memoryview]]) -> None:
    """Make sure that there are as many pixels as the header says, not one less and not a byte more."""
    width, height, depth, colour, method, filters, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"][0])
    require_size(width, height)
    palette, transparency = (sum(map(len, chunks.get(kind, []))) for kind in (b"PLTE", b"tRNS"))
    valid = depth in DEPTHS.get(colour, ()) and (method, filters) == (0, 0) and interlace in (0, 1)
    if not valid or palette > 768 or transparency > 256 or (colour == 3 and not palette):
        raise PictureRefused(WHOLE, DAMAGED)
    wanted = 0
    for x, y, across, down in ADAM7 if interlace else ((0, 0, 1, 1),):
        columns, lines = -((x - width) // across), -((y - height) // down)
        wanted += lines * (1 + (columns * NUMBERS[colour] * depth + 7) // 8) if columns > 0 else 0
    size, whole = _inflated(chunks[b"IDAT"], wanted)
    if size != wanted or not whole:
        raise PictureRefused(WHOLE, DAMAGED)


def _require_texts(chunks: Mapping[bytes, list[memoryview]]) -> None:
    """Make sure that what is compressed besides the pixels is no bomb, though nobody here unpacks it."""
    left = MOST_TEXT
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        for content in chunks.get(kind, ()):
            packed = bytes(content).split(b"\0", 1)[1]
            if kind == b"iTXt":  # flag, method, language, translated keyword, text
                packed = b"\0" + packed[2:].split(b"\0", 2)[2] if packed[0] else b""
            left -= _inflated([memoryview(packed[1:])], left)[0]
            if left < 0:
                raise PictureRefused(ALONE, "one with far too long a text or colour profile inside")


def _inflated(contents: Iterable[memoryview], most: int) -> tuple[int, bool]:
    """Bytes in a zlib stream, counted until they are more than `most`, and whether it ends where its contents do."""
    inflater, size = zlib.decompressobj(), 0
    for piece in (content[start : start + PIECE] for content in contents for start in range(0, len(content), PIECE)):
        if inflater.eof:
            return size, False
        rest: bytes | memoryview = piece
        got = INFLATED
        while not inflater.eof and (rest or got == INFLATED):
            got = len(inflater.decompress(rest, INFLATED))
            size += got
            rest = inflater.unconsumed_tail
            if size > most:
                return size, False
    return size, inflater.eof and not inflater.unused_data


def _jpeg(data: bytes) -> tuple[bytes, int]:
    """Source of the layout: ITU-T T.81, annex B; of what libjpeg reads of APP0 and APP14: its jdmarker.c."""
    kept: list[bytes | memoryview] = [data[:2]]
    frames = scans = tables = 0
    exif = b""
    for marker, content, whole in _segments(data):
        if marker in SOF:
            frames += 1
            depth, height, width, parts = struct.unpack_from(">BHHB", content)
            require_size(width, height)
            if depth != 8 or parts not in (1, 3, 4):
                raise PictureRefused(FORMAT, f"a JPEG of {depth} bits and {parts} colours")
        elif marker == SOS:
            scans += 1
        elif marker in TABLES:
            tables += len(content)
        elif 0xE0 <= marker <= 0xEF or marker == COM:
            if marker == 0xE1 and bytes(content[:6]) == b"Exif\0\0" and not exif:
                exif = bytes(content[6:])
            if (marker, bytes(content[:5])) not in KEPT:
                continue
        elif 0xC3 <= marker <= 0xCF:
            raise PictureRefused(FORMAT, "a JPEG of a rare kind, lossless or with arithmetic coding")
        else:
            raise PictureRefused(WHOLE, DAMAGED)
        if frames > 1 or scans > MOST_SCANS or tables > MOST_TABLES or scans > frames * MOST_SCANS:
            raise PictureRefused(WHOLE, "a JPEG with too many frames, scans or tables")
        kept.append(whole)
    if not scans:
        raise PictureRefused(WHOLE, "a JPEG without a picture")
    return b"".join([*kept, b"\xff\xd9"]), _orientation(exif)


def _segments(data: bytes) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Marker, content and whole of each segment up to the end of the picture; a scan's whole is with its pixels."""
    view, position = memoryview(data), 2
    for _ in range(MOST_PARTS):
        found = MARKER.match(data, position)
        if found is None:
            raise PictureRefused(WHOLE, CUT if len(data) < position + 2 else DAMAGED)
        marker, start = found[1][0], found.end()
        if marker == EOI:
            return
        position = start + int.from_bytes(view[start : start + 2])
        if position < start + 2 or position > len(data):
            raise PictureRefused(WHOLE, CUT)
        content = view[start + 2 : position]
        if marker == SOS:
            end = SCAN_END.search(data, position)
            if end is None:
                raise PictureRefused(WHOLE, CUT)
            position = end.start()
        yield marker, content, view[start - 2 : position]
    raise PictureRefused(f"at most {MOST_PARTS} segments", "more")


def require_size(width: int, height: int) -> None:
    """Make sure of it before memory is taken for so many pixels."""
    if not 0 < width * height <= MOST_PIXELS or max(width, height) > MOST_SIDE:
        most = f"at most {MOST_PIXELS // 10**6} megapixels, and {MOST_SIDE} pixels a side"
        raise PictureRefused(most, f"{width} x {height} pixels")


def _orientation(exif: bytes) -> int:
    """1, upright, where it is not said. Source of the layout: TIFF 6.0, section 2, and Exif 2.3, section 4.6."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2], "")
    try:
        (start,) = struct.unpack_from(order + "4xI", exif)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for number in range(count if order else 0):
            tag, value = struct.unpack_from(order + "H6xH", exif, start + 2 + 12 * number)
            if tag == ORIENTATION:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # a photo is as good without
        pass
    return 1
