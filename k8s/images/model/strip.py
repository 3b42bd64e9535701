"""Cut off of each shared library what only linkers and debuggers read: all that comes after its last segment.

It is what ELFkickers' sstrip does; the base image has no strip, and wheels come with their symbols.
Format: https://refspecs.linuxfoundation.org/elf/elf.pdf

Usage: strip.py FOLDER
"""

import struct
import sys
from pathlib import Path

ELF64_LITTLE = b"\x7fELF\x02\x01"
PROGRAM_HEADERS, SECTION_HEADERS = 32, 40
"""Where in the header the offsets of these tables stand."""
ENTRY_SIZE, SECTION_COUNT = 54, 60


def stripped(data: bytes) -> bytes:
    """The library without its section headers and what only these name."""
    (start,) = struct.unpack_from("<Q", data, PROGRAM_HEADERS)
    size, count = struct.unpack_from("<HH", data, ENTRY_SIZE)
    segments = [struct.unpack_from("<QQQQ", data, start + number * size + 8) for number in range(count)]
    kept = bytearray(data[: max(offset + length for offset, _, _, length in segments)])
    struct.pack_into("<Q", kept, SECTION_HEADERS, 0)
    struct.pack_into("<HH", kept, SECTION_COUNT, 0, 0)
    return bytes(kept)


if __name__ == "__main__":
    for file in Path(sys.argv[1]).rglob("*.so*"):
        found = file.read_bytes()
        if not file.is_symlink() and found.startswith(ELF64_LITTLE):
            file.write_bytes(stripped(found))
