"""Pictures: bytes that anybody may have made, to pixels that a model takes. One function, at training and in servers.

What is not a whole PNG or JPEG of a sane size is refused before a pixel of it is decoded. The decoder is given the
picture alone: no text, no colour profile, no preview, nothing behind its end. What it makes is turned as the EXIF says,
laid on black, scaled to fit and centred on black. It imports no numpy: the process that decodes
(trifold/online/decoder_process.py) is small.
"""

import io
import re
import struct
import zlib

from PIL import Image, JpegImagePlugin, PngImagePlugin

from trifold.picture_files import ALONE, FORMAT, JPEG_MAGIC, PNG_MAGIC, bare
from trifold.picture_files import WHOLE as WHOLE
from trifold.picture_files import PictureRefused as PictureRefused

MOST_BYTES = 10_000_000
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What to do with a picture by its EXIF orientation."""
REDUCING_GAP = 3.0
STRIP = 500_000
"""Pixels, about, that are turned and made smaller at once."""
END_OF_ZIP = b"PK\x05\x06"
LONGEST_ZIP_END = 65_557
"""Bytes from the last record of a ZIP file to its end (PKWARE's APPNOTE, 4.3.16)."""
BEGINNING = 1024
"""Bytes that tell what a file is; readers of PDF look for its mark in so many (ISO 32000, annex H)."""
ACTIVE = (b"<script", b"<?php", b"<!doctype", b"<html>", b"<html ", b"<iframe", b"<svg xmlns", b"javascript:")
"""Text that some program or other would run or show, in small letters; no camera writes it, and chance hardly ever."""
KNOWN = (
    ("a GIF", re.compile(rb"GIF8")),
    ("a WebP picture", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("a HEIC or AVIF picture", re.compile(rb"....ftyp(hei|hev|mif|msf|avi)", re.DOTALL)),
    ("a video", re.compile(rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", re.DOTALL)),
    ("a BMP picture", re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)),
    ("a TIFF picture", re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")),
    ("a JPEG 2000 or JPEG XL picture", re.compile(rb"\0\0\0\x0cjP|\0\0\0\x0cJXL|\xff\x4f\xff\x51|\xff\x0a")),
    ("an icon", re.compile(rb"\0\0[\1\2]\0")),
    ("a Photoshop file", re.compile(rb"8BPS")),
    ("a PostScript file", re.compile(rb"%!PS|\xc5\xd0\xd3\xc6")),
    ("a PDF", re.compile(rb"%PDF")),
    ("a ZIP file or an Office document", re.compile(rb"PK[\3\5\7]")),
    ("a compressed file", re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd")),
    ("a DICOM file; save its picture as PNG or JPEG", re.compile(rb".{128}DICM", re.DOTALL)),
    ("a program", re.compile(rb"\x7fELF|MZ|#!|\xca\xfe\xba\xbe|[\xce\xcf]\xfa\xed\xfe")),
    ("a web page or a drawing (SVG)", re.compile(rb"(\xef\xbb\xbf)?\s*<")),
    ("an address; save the picture and choose the file", re.compile(rb"\s*([a-z]{2,8}:/|data:)", re.IGNORECASE)),
    ("a text", re.compile(rb"(\xff\xfe|\xfe\xff|\xef\xbb\xbf|[\t\n\r -~]{1024}|[\t\n\r -~]{1,1023}\Z)")),
)
"""What people send instead, by how it begins, so that the answer can say what it was."""
DECODERS_ERRORS = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, ArithmeticError,
                   struct.error, zlib.error, MemoryError)  # fmt: skip
"""What Pillow raises for bytes that it cannot make a picture of."""


def read(data: bytes, width: int, height: int, mode: str) -> bytes:
    """The pixels of a picture, scaled to fit into `width` x `height` and centred on black.

    Args:
        data: A PNG or JPEG file.
        width: Of the result, in pixels.
        height: Of the result, in pixels.
        mode: "L" or "RGB".

    Returns:
        A byte a number, line by line: `width * height`, or three times as many for "RGB".

    Raises:
        PictureRefused: It is too large, of another kind, damaged, or more than a picture.
    """
    file, orientation = require_picture(data)
    try:
        with _opened(file) as picture:
            picture.draft(mode, (2 * max(width, height),) * 2)  # a JPEG is decoded small, whichever way it is turned
            return _fitted(picture, orientation, Image.new(mode, (width, height))).tobytes()
    except DECODERS_ERRORS as error:
        raise PictureRefused(WHOLE, f"one that cannot be decoded ({type(error).__name__})") from error


def require_picture(data: bytes) -> tuple[bytes, int]:
    """Make sure, without decoding, that bytes are one whole PNG or JPEG picture of a sane size, and nothing besides.

    Returns:
        The file with all left out that changes no pixel, and its orientation as EXIF counts.

    Raises:
        PictureRefused: They are not.
    """
    if len(data) > MOST_BYTES:
        raise PictureRefused(f"at most {MOST_BYTES} bytes", f"{len(data)} bytes", "too_large")
    if not data.startswith((PNG_MAGIC, JPEG_MAGIC)):
        raise PictureRefused(FORMAT, _kind(data[:BEGINNING]))
    _require_nothing_active(data)
    return bare(data)


def _kind(start: bytes) -> str:
    if not start:
        return "an empty file"
    return next((name for name, magic in KNOWN if magic.match(start)), "a file of another kind")


def _require_nothing_active(data: bytes) -> None:
    small = data.lower()
    if END_OF_ZIP in data[-LONGEST_ZIP_END:] or b"%PDF-" in data[:BEGINNING] or any(text in small for text in ACTIVE):
        raise PictureRefused(ALONE, "one with a document or a program inside")


def _opened(file: bytes) -> Image.Image:
    # These two and no other, whatever is registered: Image.open would try them all.
    if file.startswith(PNG_MAGIC):
        return PngImagePlugin.PngImageFile(io.BytesIO(file))
    return JpegImagePlugin.JpegImageFile(io.BytesIO(file))


def _fitted(picture: Image.Image, orientation: int, canvas: Image.Image) -> Image.Image:
    """A picture turned, scaled and laid on the middle of a canvas.

    It goes strip by strip, and each is at once made as small as may be: whole, a copy would take 80 MB.
    """
    width, height = picture.size if orientation < 5 else picture.size[::-1]
    scale = min(canvas.width / width, canvas.height / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averages of whole pixels first, as resize() makes them for a reducing_gap.
    across, down = (int(old / new / REDUCING_GAP) or 1 for old, new in zip((width, height), size, strict=True))
    reduced = Image.new(canvas.mode, (-(-width // across), -(-height // down)))
    lines = down * max(1, STRIP // (width * down))
    for top in range(0, height, lines):
        strip = _plain(_strip(picture, orientation, top, min(top + lines, height))).convert(canvas.mode)
        reduced.paste(strip.reduce((across, down)), (0, top // down))
    small = reduced.resize(size, Image.Resampling.BILINEAR, box=(0, 0, width / across, height / down))
    canvas.paste(small, ((canvas.width - size[0]) // 2, (canvas.height - size[1]) // 2))
    return canvas


def _strip(picture: Image.Image, orientation: int, top: int, bottom: int) -> Image.Image:
    """Some lines of a picture when it is turned, as EXIF says; lines may be columns, and the first the last."""
    if orientation in (3, 4, 7, 8):
        length = picture.height if orientation < 5 else picture.width
        top, bottom = length - bottom, length - top
    strip = picture.crop((0, top, picture.width, bottom) if orientation < 5 else (top, 0, bottom, picture.height))
    return strip.transpose(TURNS[orientation]) if orientation in TURNS else strip


def _plain(picture: Image.Image) -> Image.Image:
    """Without palette, with 8 bits a number, and on black where it is transparent."""
    if picture.mode.startswith("I"):  # 16 bits a pixel, which convert() would cut off above 255
        return picture.point(lambda value: value * (1 / 256)).convert("L")
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode in ("LA", "RGBA"):
        # Multiplied by its alpha, which is what it looks like on black.
        bands = picture.convert({"LA": "La", "RGBA": "RGBa"}[picture.mode]).split()
        return bands[0] if len(bands) == 2 else Image.merge("RGB", bands[:3])
    return picture
