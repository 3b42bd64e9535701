"""Files that a stranger may send as a picture, and pictures that must be taken. All are made here; none is stored."""

import functools
import gzip
import io
import pickle
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
MEGABYTE = 2**20
SCRIPT = b"<script>alert(document.domain)</script>"
MOST_BYTES = 10_000_000


def noise(seed, size):
    """So many bytes of no meaning, the same each time."""
    return np.random.default_rng(seed).bytes(size)


# PNG


def chunk(kind, content=b""):
    """One chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width, height, depth=8, colour=0, interlace=0):
    """The first chunk of a PNG."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


END = chunk(b"IEND")


def png(*chunks, width=64, height=64, end=END, **options):
    """A PNG of some chunks between its first and its last."""
    return PNG + header(width, height, **options) + b"".join(chunks) + end


def lines(width=64, height=64):
    """The content of a grey PNG before it is compressed: each line begins with its filter's number."""
    return b"".join(b"\0" + bytes((x * 3 + y) % 256 for x in range(width)) for y in range(height))


def idat(content=None):
    """The chunk with the pixels."""
    return chunk(b"IDAT", zlib.compress(lines()) if content is None else content)


def zeros(megabytes):
    """A zlib stream of so many million bytes, all zero, which takes a thousandth and is made at once."""
    squeeze = zlib.compressobj(9)
    start = squeeze.compress(b"")
    once = squeeze.compress(bytes(MEGABYTE)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    again = squeeze.compress(bytes(MEGABYTE)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    check = (megabytes * MEGABYTE % 65_521) << 16 | 1
    return start + once + again * (megabytes - 1) + b"\x03\0" + struct.pack(">I", check)


def zip_of(name, content):
    """A ZIP file of one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def nested_zip():
    """Ten ZIP files in a ZIP file, thrice: 10 GB when all are unpacked."""
    inner = zip_of("zeros", bytes(10 * MEGABYTE))
    for _ in range(3):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(10):
                archive.writestr(f"{number}.zip", inner)
        inner = file.getvalue()
    return inner


def hostile_png():
    """PNG files and what looks like one."""
    good = png(idat())
    text = b"Comment\0" + SCRIPT
    bomb = zeros(1024)
    return {
        "png-50000x50000-header": png(width=50_000, height=50_000),
        "png-50000x50000-bomb": png(chunk(b"IDAT", zeros(2385)), width=50_000, height=50_000),
        "png-small-with-idat-of-4-GB": png(chunk(b"IDAT", zeros(4096))),
        "png-4470x4470-idat-of-4-GB": png(chunk(b"IDAT", zeros(4096)), width=4470, height=4470),
        "png-1x4000000000": png(idat(), width=1, height=4_000_000_000),
        "png-4000000000x1": png(idat(), width=4_000_000_000, height=1),
        "png-1x20000000": png(chunk(b"IDAT", zlib.compress(bytes(40_000_000), 1)), width=1, height=20_000_000),
        "png-width-0": png(idat(), width=0),
        "png-height-0": png(idat(), height=0),
        "png-rgba16-20-megapixels-cut": png(
            chunk(b"IDAT", zeros(150)[:-5]), width=5000, height=4000, depth=16, colour=6
        ),
        "png-animated": png(
            chunk(b"acTL", struct.pack(">II", 10_000, 0)),
            chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 64, 0, 0, 1, 10, 0, 0)),
            idat(),
            *(chunk(b"fdAT", struct.pack(">I", n) + zlib.compress(lines())) for n in range(1, 100)),
        ),
        "png-cut-in-header": good[:20],
        "png-cut-in-pixels": good[: len(good) // 2],
        "png-cut-before-iend": good[:-12],
        "png-cut-in-iend": good[:-1],
        "png-wrong-crc-ihdr": good[:20] + bytes([good[20] ^ 1]) + good[21:],
        "png-wrong-crc-idat": good[:80] + bytes([good[80] ^ 1]) + good[81:],
        "png-wrong-crc-iend": good[:-1] + b"\0",
        "png-idat-ends-early": png(idat(zlib.compress(lines())[:100])),
        "png-idat-too-few-lines": png(idat(zlib.compress(lines()[:1000]))),
        "png-idat-too-much": png(idat(zlib.compress(lines() + SCRIPT))),
        "png-idat-something-behind": png(idat(zlib.compress(lines()) + noise(0, 5000))),
        "png-idat-no-zlib": png(idat(b"these are no pixels" * 50)),
        "png-idat-gzip": png(idat(gzip.compress(lines()))),
        "png-idat-empty": png(idat(b"")),
        "png-idat-wrong-adler": png(idat(zlib.compress(lines())[:-1] + b"\0")),
        "png-filter-of-no-kind": png(idat(zlib.compress(b"\x77" + lines()[1:]))),
        "png-without-idat": png(),
        "png-without-iend": png(idat(), end=b""),
        "png-without-ihdr": PNG + idat() + chunk(b"IEND"),
        "png-ihdr-twice": png(header(50_000, 50_000), idat()),
        "png-ihdr-behind-idat": png(idat(), header(4000, 4000)),
        "png-ihdr-of-12-bytes": PNG + chunk(b"IHDR", bytes(12)) + idat() + chunk(b"IEND"),
        "png-depth-3": png(idat(), depth=3),
        "png-colour-7": png(idat(), colour=7),
        "png-interlace-9": png(idat(), interlace=9),
        "png-palette-without-plte": png(idat(), colour=3),
        "png-plte-of-10-MB": png(chunk(b"PLTE", bytes(9_000_000)), idat(), colour=3),
        "png-plte-twice": png(chunk(b"PLTE", bytes(768)), chunk(b"PLTE", bytes(768)), idat(), colour=3),
        "png-unknown-critical-chunk": png(chunk(b"EVIL", bytes(100)), idat()),
        "png-chunk-length-2-31": PNG + header(64, 64) + struct.pack(">I", 2**31) + b"IDAT" + bytes(100),
        "png-chunk-length-2-32": PNG + header(64, 64) + struct.pack(">I", 2**32 - 1) + b"tEXt" + bytes(100),
        "png-800000-chunks": png(chunk(b"teXt") * 800_000, idat()),
        "png-800000-empty-idat": png(chunk(b"IDAT") * 800_000, idat()),
        "png-script-in-text": png(chunk(b"tEXt", text), idat()),
        "png-script-in-itxt": png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + SCRIPT), idat()),
        "png-script-in-unknown-chunk": png(chunk(b"prVt", SCRIPT), idat()),
        "png-html-behind": good + b"<html><body>" + SCRIPT,
        "png-zip-behind": good + zip_of("evil.txt", b"evil"),
        "png-zip-inside": png(chunk(b"prVt", zip_of("evil.txt", b"evil")), idat()),
        "png-program-behind": good + b"MZ" + bytes(200) + b"PE\0\0",
        "png-png-behind": good + good,
        "png-ztxt-bomb": png(chunk(b"zTXt", b"Comment\0\0" + bomb), idat()),
        "png-iccp-bomb": png(chunk(b"iCCP", b"icc\0\0" + bomb), idat()),
        "png-itxt-bomb": png(chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb), idat()),
        "png-only-magic": PNG,
        "png-lines-of-mac": good.replace(b"\r\n", b"\n", 1),  # as a transfer in text mode leaves it
    }  # fmt: skip


# JPEG


def photo(width=160, height=120, mode="RGB"):
    """Something to look at: a smooth picture with an edge, the same each time."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * 255 / width), (y * 255 / height), 255.0 * (x + y > (width + height) / 2), 255 - x * 200 / width]
    picture = Image.merge("RGBA", [Image.fromarray(plane.astype("uint8")) for plane in planes])
    return picture.convert("RGB").convert(mode) if mode not in ("RGBA", "LA") else picture.convert(mode)


def saved(picture, kind="JPEG", **options):
    """A picture as a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def segment(marker, content=b""):
    """One segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg, *segments):
    """A JPEG with segments behind its first two bytes."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def frame(width, height, marker=0xC0, depth=8, components=3):
    """A segment that says how large the picture is."""
    parts = b"".join(bytes([number + 1, 0x11, 0]) for number in range(components))
    return segment(marker, struct.pack(">BHHB", depth, height, width, components) + parts)


def patched_frame(jpeg, new):
    """A JPEG whose frame is another."""
    start = next(jpeg.index(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in jpeg)
    length = int.from_bytes(jpeg[start + 2 : start + 4])
    return jpeg[:start] + new + jpeg[start + 2 + length :]


def scans(width, height, count):
    """A progressive grey JPEG of so many scans, each over all pixels and almost without bytes."""
    good = saved(Image.new("L", (16, 16)), progressive=True)
    first = good.index(b"\xff\xda")
    refinement = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + bytes(20)
    start = patched_frame(good[:first], frame(width, height, 0xC2, components=1))
    return start + segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(20) + refinement * (count - 1) + b"\xff\xd9"


def tiff(*entries):
    """EXIF's content: (tag, type, count, value of 4 bytes) each, or text that is longer."""
    later, at = b"", 8 + 2 + 12 * len(entries) + 4
    table = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        if isinstance(value, bytes):
            table += struct.pack("<HHII", tag, kind, len(value), at + len(later))
            later += value
        else:
            table += struct.pack("<HHII", tag, kind, 1, value)
    return b"II*\0" + struct.pack("<I", 8) + table + bytes(4) + later


def exif(*entries):
    """A segment of EXIF."""
    return segment(0xE1, b"Exif\0\0" + tiff(*entries))


def hostile_jpeg():
    """JPEG files and what looks like one."""
    good = saved(photo(), quality=90)
    scan = good.index(b"\xff\xda")
    marks = {f"jpeg-sof-{marker:x}": patched_frame(good, frame(160, 120, marker)) for marker in
             (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)}  # fmt: skip
    tables = segment(0xDB, (b"\0" + bytes([1]) * 64) * 1000)
    return marks | {
        "jpeg-65500x65500": patched_frame(good, frame(65_500, 65_500)),
        "jpeg-65500x65500-progressive": patched_frame(saved(photo(), progressive=True), frame(65_500, 65_500, 0xC2)),
        "jpeg-height-0": patched_frame(good, frame(160, 0)),
        "jpeg-width-0": patched_frame(good, frame(0, 120)),
        "jpeg-height-by-dnl": good[:-2] + segment(0xDC, b"\xff\xff") + good[-2:],
        "jpeg-12-bit": patched_frame(good, frame(160, 120, 0xC1, depth=12)),
        "jpeg-2-components": patched_frame(good, frame(160, 120, components=2)),
        "jpeg-200-components": patched_frame(good, frame(160, 120, components=200)),
        "jpeg-0-components": patched_frame(good, frame(160, 120, components=0)),
        "jpeg-frame-of-2-bytes": patched_frame(good, segment(0xC0, b"\x08\0")),
        "jpeg-two-frames-huge-second": with_segments(good[:scan], frame(16, 16)) + good[scan:],
        "jpeg-frame-behind-scan": good[:-2] + frame(65_500, 65_500) + good[scan:],
        "jpeg-without-frame": good[:2] + good[scan:],
        "jpeg-without-scan": good[:scan] + b"\xff\xd9",
        "jpeg-without-tables": good[:2] + frame(160, 120) + good[scan:],
        "jpeg-10000-scans": scans(4000, 4000, 10_000),
        "jpeg-1000-scans": scans(64, 64, 1000),
        "jpeg-100-scans-16-megapixels": scans(4000, 4000, 100),
        "jpeg-2-million-segments": good[:2] + segment(0xE5) * 2_000_000 + good[2:],
        "jpeg-100000-tables": with_segments(good, tables * 100),
        "jpeg-100000-comments": with_segments(good, segment(0xFE, b"hello") * 100_000),
        "jpeg-segment-of-length-1": good[:2] + b"\xff\xe5\0\1" + good[2:],
        "jpeg-segment-beyond-the-end": good[:2] + b"\xff\xe5\xff\xff" + good[2:100],
        "jpeg-10-MB-of-fill": good[:2] + b"\xff" * 9_000_000 + good[2:100],
        "jpeg-cut-in-header": good[:50],
        "jpeg-cut-at-scan": good[:scan],
        "jpeg-cut-in-scan": good[: (scan + len(good)) // 2],
        "jpeg-cut-before-eoi": good[:-2],
        "jpeg-cut-in-eoi": good[:-1],
        "jpeg-soi-twice": good[:2] + good,
        "jpeg-script-in-comment": with_segments(good, segment(0xFE, SCRIPT)),
        "jpeg-script-in-description": with_segments(good, exif((0x010E, 2, SCRIPT + b"\0"))),
        "jpeg-script-in-user-comment": with_segments(good, exif((0x9286, 7, b"ASCII\0\0\0" + SCRIPT))),
        "jpeg-script-in-xmp": with_segments(
            good, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + SCRIPT + b"</x:xmpmeta>")
        ),
        "jpeg-svg-in-xmp": with_segments(
            good, segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<svg xmlns="x" ONLOAD="alert(1)"/>')
        ),
        "jpeg-pdf-in-comment": with_segments(good, segment(0xFE, b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\n")),
        "jpeg-php-in-comment": with_segments(good, segment(0xFE, b"<?php system($_GET['c']); ?>")),
        "jpeg-php-behind": good + b"<?PHP system($_GET['c']); ?>",
        "jpeg-html-behind": good + b"<!DOCTYPE html><p>hello",
        "jpeg-zip-behind": good + zip_of("evil.txt", b"evil"),
        "jpeg-jar-with-comment-behind": good + zip_of("a.class", b"evil")[:-2] + struct.pack("<H", 999) + bytes(999),
        "jpeg-only-magic": b"\xff\xd8\xff",
        "jpeg-only-ends": b"\xff\xd8\xff\xd9",
        "jpeg-random-behind-magic": b"\xff\xd8\xff\xe0" + noise(1, 100_000),
    }  # fmt: skip


# Other kinds


def animated_gif():
    """A GIF of 10,000 frames."""
    start = saved(Image.new("P", (16, 16)), "GIF")
    first = start.index(b"\x2c", 13 + 3)
    return start[:first] + start[first:-1] * 10_000 + b";"


def other_pictures():
    """Pictures of kinds that are not taken."""
    small = photo(32, 24)
    found = {
        kind.lower(): saved(small.convert(mode), kind)
        for kind, mode in (
            ("GIF", "P"), ("TIFF", "RGB"), ("BMP", "RGB"), ("ICO", "RGBA"), ("WEBP", "RGB"), ("AVIF", "RGB"),
            ("JPEG2000", "RGB"), ("PPM", "RGB"), ("PCX", "RGB"), ("XBM", "1"), ("IM", "RGB"), ("TGA", "RGB"),
            ("SGI", "RGB"), ("DDS", "RGB"), ("EPS", "RGB"), ("PDF", "RGB"), ("MSP", "1"), ("SPIDER", "F"),
        )
    }  # fmt: skip
    return found | {
        "gif-10000-frames": animated_gif(),
        "gif-javascript": b"GIF89a/*" + bytes(20) + b"*/=1;alert(document.domain)",
        "gif-65535x65535": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(100),
        "tiff-endless": b"II*\0\x08\0\0\0\x01\0" + bytes(12) + b"\x08\0\0\0",  # its directory follows itself
        "eps-runs-a-program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n",
        "eps-in-dos-header": b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, 100) + bytes(100),
        "psd-300000x300000": b"8BPS\0\2" + bytes(6) + struct.pack(">HIIHH", 3, 300_000, 300_000, 8, 3),
        "fli": struct.pack("<IHHHHHH", 128, 0xAF11, 1, 320, 200, 8, 3) + bytes(112),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        "mp4": b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(100),
        "jpeg-xl": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100),
        "dicom": bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0" + bytes(100),
        "nifti-gz": gzip.compress(struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(8000)),
    }


def other_files():
    """Files that are no pictures."""
    entity = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    array = io.BytesIO()
    np.save(array, np.zeros((64, 64), dtype="uint8"))
    return {
        "svg-script.png": b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>",
        "svg-entity": entity + b'<svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>',
        "svg-link": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://169.254.169.254/"/></svg>',
        "xml-bomb": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "lol">' + laughs + b"]><l>&l9;</l>",
        "html.jpg": b"\xef\xbb\xbf\r\n<!doctype html>" + SCRIPT,
        "html-comment-then-jpeg": b"<!--" + saved(photo()) + b"-->" + SCRIPT,
        "javascript": b"fetch('/predict').then(alert)",
        "pdf": b"%PDF-1.7\n1 0 obj\n<< /OpenAction << /S /JavaScript /JS (app.alert(1)) >> >>\nendobj\n",
        "pdf-with-jpeg": b"%PDF-1.4\n1 0 obj\nstream\n" + saved(photo()) + b"\nendstream\nendobj\n",
        "zip-bomb": nested_zip(),
        "zip-of-a-png": zip_of("picture.png", png(idat())),
        "docx": zip_of("word/document.xml", b"<w:document/>"),
        "gzip-bomb": gzip.compress(gzip.compress(bytes(100 * MEGABYTE), 1)),
        "gzip-of-a-png": gzip.compress(png(idat())),
        "tar": b"picture.png" + bytes(246) + b"ustar" + bytes(250),
        "empty": b"",
        "one-byte": b"\x89",
        "two-bytes": b"\xff\xd8",
        "too-large": PNG + bytes(MOST_BYTES + 1 - len(PNG)),
        "too-large-good": png(idat()) + bytes(MOST_BYTES + 1 - len(png(idat()))),
        "random": noise(2, MEGABYTE),
        "random-10-MB": noise(2, MOST_BYTES),
        "zeros": bytes(MEGABYTE),
        "blanks-10-MB": b" " * MOST_BYTES,
        "ff-10-MB": b"\xff" * MOST_BYTES,
        "text": b"A picture says more than a thousand words.\n",
        "text-utf-16": "A picture says more than words.".encode("utf-16"),
        "json": b'{"rows": [[1, 2, 3]]}',
        "csv": b"a,b\n1,2\n",
        "url-metadata-service": b"http://169.254.169.254/latest/meta-data/iam/security-credentials/",
        "url-file": b"file:///etc/passwd",
        "data-uri": b"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "base64": b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "path": b"../../../../etc/passwd\0.png",
        "elf": b"\x7fELF\2\1\1" + bytes(100),
        "exe": b"MZ\x90\0" + bytes(100),
        "shell": b"#!/bin/sh\ncurl http://169.254.169.254/\n",
        "pickle": pickle.dumps(print),
        "npy": array.getvalue(),
        "macos-resource-fork": b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(60),
    }


@functools.cache
def corpus():
    """The hostile files by name."""
    return {**hostile_png(), **hostile_jpeg(), **other_pictures(), **other_files()}


# What must be taken


def two_pictures():
    """An MPO, as phones and cameras with depth or a preview make them."""
    return saved(photo(), "MPO", save_all=True, append_images=[photo(80, 60)])


def oriented(number, kind="JPEG"):
    """A picture that is upright after turning it as its EXIF says, and that is stored as a camera held so stores it."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = photo().transpose(back[number]) if number > 1 else photo()
    if kind == "PNG":
        file = saved(stored, "PNG")
        return file[:33] + chunk(b"eXIf", tiff((0x0112, 3, number))) + file[33:]
    return with_segments(saved(stored, quality=95), exif((0x010F, 2, b"Camera\0"), (0x0112, 3, number)))


@functools.cache
def harmless():
    """Pictures that must be taken, by name."""
    plain, deep = photo(), (np.arange(64 * 64, dtype="uint16") * 16).reshape(64, 64)
    palette = plain.quantize(16)
    jpeg = saved(plain, quality=90)
    profile = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 80]) + bytes(64_000)) for n in range(1, 81))
    rgb16 = b"".join(b"\0" + line.astype(">u2").repeat(3).tobytes() for line in deep)
    known = (
        chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 45_455)) + chunk(b"pHYs", bytes(9))
        + chunk(b"tEXt", b"Software\0GIMP") + chunk(b"tIME", bytes(7)) + chunk(b"eXIf", tiff((0x010F, 2, b"Camera\0")))
    )  # fmt: skip
    return {
        **{f"jpeg-orientation-{n}": oriented(n) for n in range(1, 9)},
        **{f"png-{mode.lower()}": saved(photo(mode=mode), "PNG") for mode in ("L", "RGB", "RGBA", "LA", "1")},
        "png-palette": saved(palette, "PNG"),
        "png-palette-transparent": saved(palette, "PNG", transparency=3),
        "png-palette-alphas": saved(palette, "PNG", transparency=bytes(range(0, 160, 10))),
        "png-rgb-key-colour": saved(plain, "PNG", transparency=(0, 0, 0)),
        "png-1-bit-palette": saved(plain.quantize(2), "PNG", bits=1),
        "png-grey-2-bit": png(idat(zlib.compress((b"\0" + bytes(range(16))) * 64)), depth=2),
        "png-grey-16-bit": saved(Image.fromarray(deep), "PNG"),
        "png-rgb-16-bit": png(chunk(b"IDAT", zlib.compress(rgb16)), depth=16, colour=2),
        "png-interlaced": interlaced(photo(37, 23, "L")),
        "png-interlaced-1x1": interlaced(photo(1, 1, "L")),
        "png-many-idat": png(*(chunk(b"IDAT", bytes([byte])) for byte in zlib.compress(lines()))),
        "png-with-metadata": png(known, idat()),
        "png-ended-by-zeros": png(idat()) + bytes(3),
        "png-1x1": saved(Image.new("L", (1, 1), 255), "PNG"),
        "png-20-megapixels": png(chunk(b"IDAT", zlib.compress(bytes(5001 * 4000), 1)), width=5000, height=4000),
        "png-20000x10": png(chunk(b"IDAT", zlib.compress(bytes(20_001 * 10))), width=20_000, height=10),
        "png-10x20000": png(chunk(b"IDAT", zlib.compress(bytes(11 * 20_000))), width=10, height=20_000),
        "jpeg-grey": saved(photo(mode="L")),
        "jpeg-1x1": saved(Image.new("L", (1, 1), 255)),
        "jpeg-progressive": saved(plain, progressive=True),
        "jpeg-cmyk": saved(photo(mode="CMYK")),
        "jpeg-ycbcr-444": saved(plain, subsampling=0),
        "jpeg-12-megapixels": saved(photo(4000, 3000), quality=85, subsampling=2),
        "jpeg-restart-markers": saved(plain, restart_marker_rows=1),
        "jpeg-icc-of-5-MB": with_segments(jpeg, profile),
        "jpeg-exif-broken": with_segments(jpeg, segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")),
        "jpeg-exif-loops": with_segments(jpeg, segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0")),
        "jpeg-10000-exif-segments": with_segments(jpeg, segment(0xE1, b"Exif\0\0" + bytes(900)) * 10_000),
        "jpeg-thumbnail": with_segments(jpeg, segment(0xE1, b"Exif\0\0" + tiff() + saved(photo(40, 30)))),
        "jpeg-fill-bytes": jpeg[:2] + b"\xff" * 5 + jpeg[2:],
        "jpeg-of-a-phone-mpo": two_pictures(),
        "jpeg-samsung-trailer": jpeg + b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1700000000000SEFH" + bytes(30) + b"SEFT",
        "jpeg-motion-photo": jpeg + b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + noise(3, 100_000),
    }  # fmt: skip


def interlaced(picture):
    """A grey picture as an interlaced PNG, which Pillow reads and does not write."""
    pixels = np.asarray(picture)
    raw = b""
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        part = pixels[y::dy, x::dx]
        raw += b"".join(b"\0" + line.tobytes() for line in part) if part.size else b""
    return png(chunk(b"IDAT", zlib.compress(raw)), width=picture.width, height=picture.height, interlace=1)
