"""The decoding process: what it answers, and what becomes of those that wait for it when it ends."""

import asyncio
import contextlib
import io
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trifold import pictures
from trifold.contract.profile import ImageInput
from trifold.online import decoder as decoders
from trifold.online.decoder import Decoder
from trifold.online.decoder_process import MOST_MEMORY
from trifold.pictures import PictureRefused

IMAGE = ImageInput(16, 12)


def png(picture):
    """A PNG file of an image of Pillow's, or of an array."""
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, "PNG")
    return file.getvalue()


RAMP = png(np.add.outer(np.arange(40), np.arange(60)).astype("uint8"))
BLACK = png(Image.new("L", (20, 20)))


def run(work):
    """Give a decoder to a coroutine function; the decoder's process ends with it."""

    async def whole():
        decoder = Decoder(IMAGE)
        try:
            return await work(decoder)
        finally:
            await decoder.close()

    return asyncio.run(whole())


def test_pixels_are_those_of_training():
    """The process answers what the one function gives that training uses."""
    assert run(lambda decoder: decoder.read(RAMP)) == pictures.read(RAMP, 16, 12, "L")


def test_a_refusal_says_the_same_as_in_this_process():
    """Rule, expected and got come through the pipe."""

    async def refused(decoder):
        with pytest.raises(PictureRefused) as found:
            await decoder.read(b"GIF89a")
        return found.value.rejects

    with pytest.raises(PictureRefused) as expected:
        pictures.read(b"GIF89a", 16, 12, "L")
    assert run(refused) == expected.value.rejects


def test_one_process_reads_all():
    """Pictures asked for at once are read one after another, each answer to its own asker, refused ones between."""

    async def many(decoder):
        files = [RAMP, b"no picture", BLACK] * 10
        answers = await asyncio.gather(*map(decoder.read, files), return_exceptions=True)
        return answers, decoder._process.pid

    answers, _ = run(many)
    assert {bytes(answer) for answer in answers[::3]} == {pictures.read(RAMP, 16, 12, "L")}
    assert all(isinstance(answer, PictureRefused) for answer in answers[1::3])
    assert {bytes(answer) for answer in answers[2::3]} == {bytes(16 * 12)}


def test_another_takes_the_place_of_one_that_was_killed():
    """A picture that ends the process is refused, and the next one is read by a new process."""

    async def killed(decoder):
        await decoder.read(BLACK)
        first = decoder._process.pid
        os.kill(first, signal.SIGKILL)
        await decoder._process.wait()
        with pytest.raises(PictureRefused, match="too long or too much memory"):
            await decoder.read(RAMP)
        return first, await decoder.read(RAMP), decoder._process.pid

    first, answer, second = run(killed)
    assert answer == pictures.read(RAMP, 16, 12, "L")
    assert first != second


def test_decoding_without_end_is_ended(monkeypatch):
    """A process that does not answer in time is killed; whoever waited behind it is served by the next."""
    monkeypatch.setattr(decoders, "MOST_SECONDS", 1)

    async def stopped(decoder):
        await decoder.read(BLACK)
        process = decoder._process
        os.kill(process.pid, signal.SIGSTOP)
        answers = await asyncio.gather(decoder.read(RAMP), decoder.read(RAMP), return_exceptions=True)
        return answers, process.returncode

    answers, returncode = run(stopped)
    assert isinstance(answers[0], PictureRefused)
    assert answers[1] == pictures.read(RAMP, 16, 12, "L")
    assert returncode == -signal.SIGKILL


def test_an_answer_nobody_waits_for_is_not_given_to_another():
    """A request that is cancelled while its picture is decoded leaves nothing in the pipe for the next one."""

    async def cancelled(decoder):
        await decoder.read(BLACK)
        os.kill(decoder._process.pid, signal.SIGSTOP)
        task = asyncio.create_task(decoder.read(BLACK))
        while not decoder._turn.locked():
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return await decoder.read(RAMP)

    assert run(cancelled) == pictures.read(RAMP, 16, 12, "L")


def test_the_largest_picture_fits_into_the_memory():
    """Twenty megapixels with transparency, the most that is taken, are read within the process's limit."""
    largest = png(Image.new("RGBA", (5000, 4000), (9, 99, 199, 120)))

    async def measured(decoder):
        answer = await decoder.read(largest)
        status = Path(f"/proc/{decoder._process.pid}/status").read_text()
        return answer, int(status.split("VmPeak:")[1].split()[0]) * 1024

    answer, peak = run(measured)
    assert len(answer) == 16 * 12
    assert peak <= MOST_MEMORY


def test_memory_beyond_the_limit_is_a_refusal():
    """Where the limit is less than a picture needs, the picture is refused and the process goes on or is replaced."""

    async def small(decoder):
        await decoder.read(BLACK)
        status = Path(f"/proc/{decoder._process.pid}/status").read_text()
        most = int(status.split("VmSize:")[1].split()[0]) * 1024 + 10 * 2**20
        resource.prlimit(decoder._process.pid, resource.RLIMIT_AS, (most, most))
        with pytest.raises(PictureRefused):
            await decoder.read(png(Image.new("RGBA", (5000, 4000))))
        return await decoder.read(RAMP)

    assert run(small) == pictures.read(RAMP, 16, 12, "L")


def test_the_process_ends_with_its_server():
    """A server that is killed leaves no process behind: the end of its input ends it."""

    async def orphaned():
        decoder = Decoder(IMAGE)
        await decoder.read(BLACK)
        process = decoder._process
        process.stdin.close()
        return await asyncio.wait_for(process.wait(), 10)

    began = time.monotonic()
    assert asyncio.run(orphaned()) == 0
    assert time.monotonic() - began < 10
