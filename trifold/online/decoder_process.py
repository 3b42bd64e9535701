"""The process that decodes pictures: strangers' bytes meet the codecs here, where little memory and nothing else is.

It takes frames on standard input, four bytes of length and a file, and answers each on standard output: a byte that
says what it is, four bytes of length, and the pixels or, for a file that is refused, rule, expected and got in JSON.

Usage: python -m trifold.online.decoder_process WIDTH HEIGHT MODE
"""

import io
import json
import resource
import sys
from typing import BinaryIO

from PIL import Image

from trifold.pictures import PictureRefused, read

PIXELS, REFUSED = b"\x00", b"\x01"
MOST_MEMORY = 400 * 2**20
"""Bytes of address space. The most that a picture which is taken was seen to need is 326 MB, Python's own with it."""
LIMITS = {
    resource.RLIMIT_AS: MOST_MEMORY,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 16,
}


def main() -> int:
    """Answer frames until standard input ends."""
    width, height, mode = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    read(smallest_picture(), width, height, mode)  # Pillow imports its codecs when they are used first
    for what, most in LIMITS.items():
        resource.setrlimit(what, (most, most))
    while (frame := _frame(sys.stdin.buffer)) is not None:
        kind, answer = _answer(frame, width, height, mode)
        sys.stdout.buffer.write(kind + len(answer).to_bytes(4) + answer)
        sys.stdout.buffer.flush()
    return 0


def _answer(data: bytes, width: int, height: int, mode: str) -> tuple[bytes, bytes]:
    try:
        return PIXELS, read(data, width, height, mode)
    except PictureRefused as refused:
        reject = refused.rejects[0]
        return REFUSED, json.dumps([reject.expected, reject.got, reject.rule]).encode()


def _frame(stream: BinaryIO) -> bytes | None:
    """The next file; None at the end."""
    length = stream.read(4)
    return stream.read(int.from_bytes(length)) if length else None


def smallest_picture() -> bytes:
    """A PNG of one black pixel."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
