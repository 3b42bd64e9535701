"""Decoding in a process of its own (decoder_process.py): it may be killed, and another takes its place."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from trifold.contract.profile import ImageInput
from trifold.online import decoder_process
from trifold.pictures import WHOLE, PictureRefused

MOST_SECONDS = 10
"""For one picture; 20 megapixels take less than a second on a core of its own."""
ROOT = Path(__file__).resolve().parents[2]


class Decoder:
    """Reads pictures one after another.

    Attributes:
        image: Size and mode of what comes out.
    """

    def __init__(self, image: ImageInput) -> None:
        self.image = image
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def read(self, data: bytes) -> bytes:
        """The pixels of a picture, as `trifold.pictures.read` gives them.

        Raises:
            PictureRefused: It is none that is taken, or decoding it takes too long or too much memory.
        """
        async with self._turn:
            answered = False
            try:
                async with asyncio.timeout(MOST_SECONDS):
                    kind, answer = await self._ask(data)
                    answered = True
            except (TimeoutError, EOFError, ConnectionError):
                raise PictureRefused(WHOLE, "one that takes too long or too much memory to decode") from None
            finally:
                if not answered:
                    await self.close()  # what it might still say would be taken for the next picture's
        if kind == decoder_process.PIXELS:
            return answer
        expected, got, rule = json.loads(answer)
        raise PictureRefused(expected, got, rule)

    async def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def _ask(self, data: bytes) -> tuple[bytes, bytes]:
        process = self._process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(len(data).to_bytes(4))
        process.stdin.write(data)  # apart, since together they would be a copy of up to ten megabytes
        await process.stdin.drain()
        kind = await process.stdout.readexactly(1)
        length = int.from_bytes(await process.stdout.readexactly(4))
        return kind, await process.stdout.readexactly(length)

    async def _start(self) -> Process:
        # Its errors go nowhere: a line for each malformed picture would let a stranger fill the disk.
        return await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-m", decoder_process.__name__,
            str(self.image.width), str(self.image.height), self.image.mode,
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
