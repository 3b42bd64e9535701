"""Reading pictures: what may come is measured, what must be taken is taken, and the pixels are what a person sees."""

import io
import json
import re
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trifold.pictures import MOST_BYTES, PictureRefused, read, require_picture

sys.path.insert(0, str(Path(__file__).parent))
import hostile_pictures as made  # found beside this file in every worker

ROOT = Path(__file__).resolve().parents[2]
MOST_MEGABYTES = 50
MEASURE = """
    import json, os, resource, sys, time
    from trifold.pictures import PictureRefused, read
    sys.path.insert(0, sys.argv[1])

    def take(length):
        pieces = []
        while length and (piece := os.read(0, min(length, 1 << 20))):
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def kilobytes(name):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(name))

    def one(length):
        open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
        before, data, start = kilobytes("VmRSS:"), take(length), time.perf_counter()
        try:
            said = [None, len(read(data, 64, 64, "RGB"))]
        except PictureRefused as refused:
            said = ["image", refused.rejects[0].got, refused.rejects[0].expected, refused.rejects[0].rule]
        except BaseException as error:
            said = ["defect", repr(error)]
        took = time.perf_counter() - start
        print(json.dumps([said, took * 1000, (kilobytes("VmHWM:") - before) / 1024]), flush=True)

    for small in (b"\\x89PNG\\r\\n\\x1a\\n", b"\\xff\\xd8\\xff\\xd9"):
        try:
            read(small, 1, 1, "L")
        except PictureRefused:
            pass
    read(bytes.fromhex(sys.argv[2]), 8, 8, "RGB")
    while length := int.from_bytes(take(4), "big"):
        child = os.fork()
        if not child:
            one(length)
            os._exit(0)
        os.waitpid(child, 0)
"""


def measured(files):
    """What became of each file in a process that reads nothing else: said, milliseconds, megabytes beyond its start."""
    argv = [sys.executable, "-c", textwrap.dedent(MEASURE), str(ROOT), made.harmless()["png-1x1"].hex()]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    found = {}
    for name, data in files.items():
        if data:  # a length of 0 would end it
            process.stdin.write(len(data).to_bytes(4, "big") + data)
            process.stdin.flush()
            found[name] = json.loads(process.stdout.readline())
    process.stdin.close()
    process.stdout.close()
    assert process.wait(30) == 0
    return found


@pytest.fixture(scope="module")
def of_hostile():
    """What became of each hostile file."""
    found = measured(made.corpus())
    for name, (said, milliseconds, megabytes) in found.items():
        print(f"{name:34} {len(made.corpus()[name]):>9} bytes {milliseconds:6.0f} ms {megabytes:5.0f} MB  {said[1]}")
    return found


@pytest.fixture(scope="module")
def of_harmless():
    """What became of each harmless picture."""
    return measured(made.harmless())


def pixels(data, width=32, height=32, mode="RGB"):
    """What `read` gives, as an array of integers."""
    shape = (height, width) if mode == "L" else (height, width, 3)
    return np.frombuffer(read(data, width, height, mode), dtype="uint8").reshape(shape).astype(int)


class TestHostile:
    """Files that a stranger may send."""

    def test_the_corpus_is_large(self):
        """A list that shrinks unseen would prove less and less."""
        assert len(made.corpus()) >= 180
        assert all(type(data) is bytes for data in made.corpus().values())

    def test_each_is_refused_in_words(self, of_hostile):
        """Nothing hostile gets through, and nothing but PictureRefused comes out, which says what was expected."""
        wrong = {name: said for name, (said, *_) in of_hostile.items() if said[0] != "image"}
        assert wrong == {}
        assert all(re.match(r"(a|one|at most|an|more|\d+) ?", said[1]) for said, *_ in of_hostile.values())

    def test_none_takes_memory(self, of_hostile):
        """A bomb is refused before it is unpacked: no file of 10 MB or less may cost five times as much."""
        assert {name: memory for name, (_, _, memory) in of_hostile.items() if memory >= MOST_MEGABYTES} == {}

    @pytest.mark.parametrize(
        ("name", "got"),
        [
            ("gif", "a GIF"),
            ("gif-10000-frames", "a GIF"),
            ("gif-javascript", "a GIF"),
            ("webp", "a WebP picture"),
            ("heic", "a HEIC or AVIF picture"),
            ("avif", "a HEIC or AVIF picture"),
            ("mp4", "a video"),
            ("bmp", "a BMP picture"),
            ("tiff", "a TIFF picture"),
            ("jpeg2000", "a JPEG 2000 or JPEG XL picture"),
            ("jpeg-xl", "a JPEG 2000 or JPEG XL picture"),
            ("ico", "an icon"),
            ("psd-300000x300000", "a Photoshop file"),
            ("eps", "a PostScript file"),
            ("eps-runs-a-program", "a PostScript file"),
            ("eps-in-dos-header", "a PostScript file"),
            ("pdf", "a PDF"),
            ("pdf-with-jpeg", "a PDF"),
            ("zip-bomb", "a ZIP file or an Office document"),
            ("docx", "a ZIP file or an Office document"),
            ("gzip-bomb", "a compressed file"),
            ("nifti-gz", "a compressed file"),
            ("dicom", "a DICOM file; save its picture as PNG or JPEG"),
            ("elf", "a program"),
            ("exe", "a program"),
            ("shell", "a program"),
            ("svg-script.png", "a web page or a drawing (SVG)"),
            ("svg-entity", "a web page or a drawing (SVG)"),
            ("html.jpg", "a web page or a drawing (SVG)"),
            ("html-comment-then-jpeg", "a web page or a drawing (SVG)"),
            ("url-metadata-service", "an address; save the picture and choose the file"),
            ("url-file", "an address; save the picture and choose the file"),
            ("data-uri", "an address; save the picture and choose the file"),
            ("text", "a text"),
            ("text-utf-16", "a text"),
            ("json", "a text"),
            ("base64", "a text"),
            ("empty", "an empty file"),
            ("random", "a file of another kind"),
            ("zeros", "a file of another kind"),
            ("npy", "a file of another kind"),
            ("pickle", "a file of another kind"),
            ("png-animated", "an animation"),
            ("png-cut-in-pixels", "one that was cut off"),
            ("jpeg-cut-in-scan", "one that was cut off"),
            ("jpeg-cut-before-eoi", "one that was cut off"),
            ("png-wrong-crc-idat", "a damaged one"),
            ("png-idat-ends-early", "a damaged one"),
            ("png-50000x50000-bomb", "50000 x 50000 pixels"),
            ("png-1x4000000000", "1 x 4000000000 pixels"),
            ("jpeg-65500x65500", "65500 x 65500 pixels"),
            ("jpeg-height-0", "160 x 0 pixels"),
            ("png-html-behind", "one with a document or a program inside"),
            ("jpeg-zip-behind", "one with a document or a program inside"),
            ("jpeg-script-in-user-comment", "one with a document or a program inside"),
            ("jpeg-pdf-in-comment", "one with a document or a program inside"),
            ("png-png-behind", "a PNG with something behind its end"),
            ("png-iccp-bomb", "one with far too long a text or colour profile inside"),
            ("jpeg-sof-c9", "a JPEG of a rare kind, lossless or with arithmetic coding"),
        ],
    )
    def test_a_person_is_told_what_it_was(self, name, got):
        """Whoever sent a wrong file by mistake learns which kind it is."""
        with pytest.raises(PictureRefused, match=rf"^Expected .+, got {re.escape(got)}\.$"):
            read(made.corpus()[name], 16, 16, "L")

    def test_too_many_bytes_have_a_rule_of_their_own(self):
        """One byte more than the limit is refused for its size, whatever it is; the limit itself is not."""
        picture = made.png(made.idat())
        with pytest.raises(PictureRefused) as caught:
            require_picture(picture + bytes(MOST_BYTES + 1 - len(picture)))
        reject = caught.value.rejects[0]
        assert (reject.row, reject.column, reject.rule, reject.got) == (0, None, "too_large", f"{MOST_BYTES + 1} bytes")
        require_picture(picture + bytes(MOST_BYTES - len(picture)))

    def test_no_other_decoder_is_reached(self):
        """A PostScript file would start Ghostscript, so Image.open is never asked, not even for a good picture."""
        program = """
            import sys
            from PIL import Image
            Image.open = Image.preinit = Image.init = None
            from trifold.pictures import PictureRefused, read
            assert len(read(bytes.fromhex(sys.argv[1]), 8, 8, "L")) == 64
            assert not {name for name in sys.modules if name.startswith("PIL.")} & {
                "PIL.EpsImagePlugin", "PIL.GifImagePlugin", "PIL.TgaImagePlugin", "PIL.PdfImagePlugin"}
            assert "numpy" not in sys.modules
        """
        argv = [sys.executable, "-c", textwrap.dedent(program), made.harmless()["jpeg-grey"].hex()]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class TestHarmless:
    """Pictures as people have them."""

    def test_each_is_taken(self, of_harmless):
        """A picture that every other program shows is not refused here for being unusual."""
        assert {name: said for name, (said, *_) in of_harmless.items() if said != [None, 64 * 64 * 3]} == {}

    def test_none_takes_more_memory_than_its_pixels(self, of_harmless):
        """The largest has 20 megapixels, for which Pillow takes 80 MB at most; a copy of them would show here."""
        assert {name: memory for name, (_, _, memory) in of_harmless.items() if memory >= 120} == {}

    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    @pytest.mark.parametrize("size", [(32, 32), (200, 200), (7, 50)])
    def test_it_is_turned_as_its_exif_says(self, kind, size):
        """A phone stores what it saw and how it was held; the model is given what a person sees."""
        if kind == "PNG":
            upright = pixels(made.saved(made.photo(), "PNG"), *size)
            turned = [pixels(made.oriented(number, "PNG"), *size) for number in range(1, 9)]
            assert all(np.array_equal(upright, one) for one in turned)
        else:
            upright = pixels(made.saved(made.photo(), quality=95), *size)
            turned = [pixels(made.oriented(number), *size) for number in range(1, 9)]
            assert max(np.abs(upright - one).mean() for one in turned) < 4  # blocks of 8 x 8 fall elsewhere

    @pytest.mark.parametrize("number", [0, 9, 255, 65_535])
    def test_an_orientation_that_does_not_exist_is_upright(self, number):
        """Broken EXIF is no reason to refuse a photo."""
        plain = made.saved(made.photo(), quality=95)
        assert read(made.with_segments(plain, made.exif((0x0112, 3, number))), 32, 32, "L") == read(plain, 32, 32, "L")

    def test_both_orders_of_bytes_are_read(self):
        """Some cameras write EXIF with the most significant byte first."""
        stored = made.saved(made.photo().transpose(Image.Transpose.ROTATE_180), "PNG")
        content = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 3, 0, 0)
        file = stored[:33] + made.chunk(b"eXIf", content) + stored[33:]
        assert read(file, 32, 32, "RGB") == read(made.saved(made.photo(), "PNG"), 32, 32, "RGB")

    def test_metadata_changes_no_pixel(self):
        """Gamma, colour profile, texts, comments, previews and trailers are not looked at."""
        plain = made.png(made.idat())
        assert read(made.harmless()["png-with-metadata"], 64, 64, "L") == read(plain, 64, 64, "L") == made_pixels()
        jpeg = read(made.saved(made.photo(), quality=90), 64, 64, "RGB")
        for name in ("icc-of-5-MB", "exif-broken", "exif-loops", "10000-exif-segments", "thumbnail", "fill-bytes",
                     "samsung-trailer", "motion-photo"):  # fmt: skip
            assert read(made.harmless()[f"jpeg-{name}"], 64, 64, "RGB") == jpeg, name

    def test_the_first_picture_of_several_is_taken(self):
        """A phone's file may hold a preview or a second view; what every viewer shows is the first."""
        alone = made.saved(made.photo())
        np.testing.assert_array_equal(pixels(made.two_pictures()), pixels(alone))

    def test_what_is_left_out_is_all_but_the_picture(self):
        """The decoder never sees what a stranger wrote beside the pixels."""
        file, _ = require_picture(made.harmless()["png-with-metadata"])
        assert file == made.png(made.idat())
        file, orientation = require_picture(made.harmless()["jpeg-orientation-6"])
        assert (b"Exif" in file, orientation) == (False, 6)
        assert require_picture(made.harmless()["jpeg-motion-photo"])[0].endswith(b"\xff\xd9")


def made_pixels():
    """The pixels of `idat()`, line by line."""
    return b"".join(line[1:] for line in (made.lines()[start : start + 65] for start in range(0, 64 * 65, 65)))


class TestPixels:
    """What comes out for what a person sees."""

    @pytest.mark.parametrize(("width", "height"), [(64, 64), (40, 64), (64, 40)])
    @pytest.mark.parametrize("size", [(100, 50), (50, 100), (10, 5), (300, 300), (20_000, 10)])
    def test_it_keeps_its_shape_in_the_middle_of_black(self, size, width, height):
        """A wide picture has black above and below, alike; nothing is stretched and nothing is cut."""
        found = pixels(made.saved(Image.new("L", size, 255), "PNG"), width, height, "L")
        scale = min(width / size[0], height / size[1])
        across, down = (max(1, round(side * scale)) for side in size)
        wanted = np.zeros((height, width), dtype=int)
        top, left = (height - down) // 2, (width - across) // 2
        wanted[top : top + down, left : left + across] = 255
        np.testing.assert_array_equal(found, wanted)

    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_transparency_lies_on_black(self, mode):
        """What is invisible is black, whatever colour it has, and half of white is grey; edges are not bright."""
        alpha = Image.fromarray(np.repeat([[0], [128], [255]], [16, 16, 32], axis=0).repeat(64, axis=1).astype("uint8"))
        picture = Image.new("RGB", (64, 64), (255, 255, 255)).convert(mode)
        picture.putalpha(alpha)
        found = pixels(made.saved(picture, "PNG"), 64, 64, "L")
        assert [found[0, 0], found[20, 20], found[40, 40]] == [0, 128, 255]
        small = pixels(made.saved(picture, "PNG"), 8, 8, "L")[:, 4]
        assert list(small) == sorted(small)

    def test_a_transparent_colour_is_black_too(self):
        """A PNG may name one colour, or give its palette alphas, instead of a channel."""
        picture = Image.new("RGB", (16, 16), (255, 0, 0))
        for file in (
            made.saved(picture, "PNG", transparency=(255, 0, 0)),
            made.saved(picture.quantize(2), "PNG", transparency=bytes(2)),
            made.saved(picture.convert("L"), "PNG", transparency=picture.convert("L").getpixel((0, 0))),
        ):
            assert not pixels(file, 16, 16).any()

    def test_16_bit_greys_keep_their_order(self):
        """A microscope's or scanner's greys above 255 are not all white."""
        levels = np.arange(0, 65_536, 256, dtype="uint16").reshape(16, 16)
        found = pixels(made.saved(Image.fromarray(levels), "PNG"), 16, 16, "L")
        np.testing.assert_array_equal(found.ravel(), np.arange(256))

    @pytest.mark.parametrize("size", [(4000, 3000), (1001, 777)])
    @pytest.mark.parametrize("target", [64, 224])
    def test_a_jpeg_decoded_small_looks_like_one_decoded_whole(self, size, target):
        """It is up to eight times as fast, and an answer must not hang on it."""
        file = made.saved(made.photo(*size), quality=90)
        whole = made.saved(Image.open(io.BytesIO(file)), "PNG")
        difference = np.abs(pixels(file, target, target) - pixels(whole, target, target))
        assert difference.mean() < 1.5

    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_grey_is_grey_in_either_mode(self, kind):
        """A grey picture saved in colour is the same picture."""
        grey = made.photo(64, 64, "L")
        files = [made.saved(grey, kind), made.saved(grey.convert("RGB"), kind)]
        found = [pixels(file, 32, 32, "L") for file in files]
        assert np.abs(found[0] - found[1]).max() <= 2
        for file in files:
            colour = pixels(file, 32, 32, "RGB")
            assert np.ptp(colour, axis=2).max() <= 1
            assert np.abs(colour[..., 0] - found[0]).max() <= 2

    @pytest.mark.parametrize("name", ["jpeg-cmyk", "png-palette", "png-rgb", "jpeg-progressive", "jpeg-ycbcr-444"])
    def test_all_kinds_of_one_picture_look_alike(self, name):
        """Adobe's inverted CMYK, a palette and plain colours come to the same."""
        wanted = pixels(made.saved(made.photo(), "PNG"))
        assert np.abs(pixels(made.harmless()[name]) - wanted).mean() < 12

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["L", "RGB"]), st.randoms(use_true_random=False))
    def test_a_picture_of_the_right_size_is_given_as_it_is(self, width, height, mode, random):
        """Training on arrays and predicting from their PNG files must see the same numbers."""
        own = random.randbytes(width * height * len(mode))
        picture = Image.frombytes(mode, (width, height), own)
        assert read(made.saved(picture, "PNG"), width, height, mode) == own
        again = made.saved(Image.frombytes(mode, (width, height), own), "PNG")
        assert read(again, width, height, mode) == own

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 60), st.integers(1, 60), st.integers(1, 8))
    def test_any_size_fits_any_size(self, width, height, wide, high, orientation):
        """No side is rounded to nothing, strips meet without a seam, and white stays white."""
        file = made.saved(Image.new("RGB", (width, height), (255, 255, 255)), "PNG")
        file = file[:33] + made.chunk(b"eXIf", made.tiff((0x0112, 3, orientation))) + file[33:]
        found = pixels(file, wide, high, "L")
        assert set(np.unique(found)) <= {0, 255}
        assert found[(high - 1) // 2, (wide - 1) // 2] == 255
        assert found.any(axis=0).all() or found.any(axis=1).all()

    def test_strips_have_no_seam(self, monkeypatch):
        """Turned and made smaller strip by strip is the same as at once."""
        from trifold import pictures

        noise = np.random.default_rng(0).integers(0, 256, (501, 333, 4), dtype="uint8")
        file = made.saved(Image.fromarray(noise), "PNG")
        for orientation in range(1, 9):
            turned = file[:33] + made.chunk(b"eXIf", made.tiff((0x0112, 3, orientation))) + file[33:]
            at_once = read(turned, 24, 30, "RGB")
            monkeypatch.setattr(pictures, "STRIP", 1)
            assert read(turned, 24, 30, "RGB") == at_once
            monkeypatch.undo()


SEEDS = sorted(name for name, data in made.harmless().items() if len(data) < 6_000)


def with_right_checksums(data):
    """A PNG with each chunk's checksum mended, so that what is broken in it is seen by what comes later."""
    position, out = 8, data[:8]
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if position + 12 + length > len(data):
            break
        out += made.chunk(data[position + 4 : position + 8], data[position + 8 : position + 8 + length])
        position += 12 + length
    return out + data[position:]


@st.composite
def mutated(draw):
    """A harmless picture in which bytes were changed, cut out or put in, with right checksums or wrong ones."""
    seed = made.harmless()[draw(st.sampled_from(SEEDS))]
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        what = draw(st.sampled_from(["flip", "set", "cut", "end", "splice", "insert"]))
        if what == "flip" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif what == "set" and data:
            data[place] = draw(st.sampled_from([0, 1, 127, 128, 255]))
        elif what == "cut":
            del data[place : place + draw(st.integers(1, 40))]
        elif what == "end":
            del data[place:]
        elif what == "insert":
            data[place:place] = draw(st.binary(max_size=10))
        else:
            other = made.harmless()[draw(st.sampled_from(SEEDS))]
            start = draw(st.integers(0, len(other) - 1))
            data[place : place + draw(st.integers(0, 40))] = other[start : start + draw(st.integers(0, 80))]
    return with_right_checksums(bytes(data)) if draw(st.booleans()) else bytes(data)


def pixels_or_refusal(data, width, height, mode):
    """Whatever the bytes are, exactly so many pixels come out, or a refusal that can be sent."""
    try:
        assert len(read(data, width, height, mode)) == width * height * len(mode)
    except PictureRefused as refused:
        (reject,) = refused.rejects
        assert reject.rule in ("image", "too_large")
        assert reject.got.isprintable()


SIDES = st.integers(1, 64)
MODES = st.sampled_from(["L", "RGB"])


class TestAnyBytes:
    """Laws over generated files."""

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200), st.sampled_from([b"", made.PNG, b"\xff\xd8\xff", b"\xff\xd8"]), SIDES, SIDES, MODES)
    def test_any_bytes_give_pixels_or_a_refusal(self, data, magic, width, height, mode):
        """Nothing else may be raised: in a server it would be a 500."""
        pixels_or_refusal(magic + data, width, height, mode)

    @settings(max_examples=600, deadline=None)
    @given(mutated(), SIDES, SIDES, MODES)
    def test_any_damage_gives_pixels_or_a_refusal(self, data, width, height, mode):
        """A picture that was damaged on its way, by chance or on purpose, takes no other way out."""
        pixels_or_refusal(data, width, height, mode)

    @settings(max_examples=200, deadline=None)
    @given(st.tuples(
        st.integers(0, 70), st.integers(0, 70), st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([0, 2, 3, 4, 6]),
        st.integers(0, 1), st.binary(max_size=80), st.binary(max_size=12), st.binary(min_size=1, max_size=500),
    ))  # fmt: skip
    def test_any_header_gives_pixels_or_a_refusal(self, drawn):
        """Headers, palettes and lines that each are right need not fit together."""
        width, height, depth, colour, interlace, palette, transparency, content = drawn
        chunks = [made.chunk(b"PLTE", palette)] * bool(palette) + [made.chunk(b"tRNS", transparency)]
        size = height * (1 + (width * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * depth + 7) // 8)
        lines = (content * (1 + size // len(content)))[:size]
        options = {"width": width, "height": height, "depth": depth, "colour": colour, "interlace": interlace}
        pixels_or_refusal(made.png(*chunks, made.chunk(b"IDAT", zlib.compress(lines)), **options), 16, 16, "RGB")
