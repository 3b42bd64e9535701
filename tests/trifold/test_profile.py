"""The profile: optional, versioned, and refused in a sentence when it cannot be read."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trifold.contract.profile import (
    CHANNELS,
    FORMAT,
    LACKS,
    MOST_SIDE,
    Feature,
    ImageInput,
    Profile,
    Sample,
    find,
    read,
)
from trifold.errors import ProfileError
from trifold.likeness import Likeness

IMAGE = ImageInput(
    64,
    48,
    "RGB",
    samples=(Sample("sample-1.png", "A slice"), Sample("sample-2.jpg", "Another")),
    likeness=Likeness(2, (0.5, -0.5, 0.25, 0.0), ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)), 0.75),
)

FULL = Profile(
    title="Will the customer leave?",
    description="One answer a customer.",
    key="customer_id",
    threshold=0.6,
    interval=2.5,
    unit="dollars",
    classes={"Yes": "This customer will probably leave.", "No": "This customer will probably stay."},
    note="An estimate.",
    image=IMAGE,
    features={
        "plan": Feature(title="Plan", choices=("basic", "full"), statistics={"missing": 0.1, "counts": {"basic": 7}}),
        "months": Feature(unit="months", minimum=0, maximum=72.5, statistics={"quantiles": [0, 1, 2]}),
        "": Feature(choices=(True, False)),
    },
)


@pytest.mark.parametrize("profile", [Profile(), FULL])
def test_a_profile_survives_json(profile):
    """What training writes is what the build reads."""
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


def images():
    """Any image input."""
    shares = st.floats(-1, 1)
    likeness = st.builds(
        Likeness,
        side=st.just(2),
        mean=st.tuples(*[shares] * 4),
        components=st.lists(st.tuples(*[shares] * 4), max_size=3).map(tuple),
        least=st.floats(0, 1),
    )
    samples = st.lists(st.builds(Sample, file=st.text(max_size=8), title=st.text(max_size=8)), max_size=3).map(tuple)
    sides = st.integers(1, MOST_SIDE)
    return st.builds(ImageInput, sides, sides, st.sampled_from(list(CHANNELS)), samples, st.none() | likeness)


@given(
    st.builds(
        Profile,
        title=st.none() | st.text(),
        threshold=st.none() | st.floats(0, 1),
        interval=st.none() | st.floats(0, allow_infinity=False),
        unit=st.none() | st.text(),
        classes=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
        note=st.none() | st.text(),
        image=st.none() | images(),
        features=st.dictionaries(
            st.text(max_size=8),
            st.builds(Feature, title=st.none() | st.text(), choices=st.none() | st.lists(st.text()).map(tuple)),
            max_size=3,
        ),
    )
)
def test_any_profile_survives_json(profile):
    """Odd titles, names of columns and choices are kept."""
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


def test_the_format_has_a_number():
    """A later Trifold can tell an old profile from a broken one."""
    assert FULL.to_json()["format"] == FORMAT


@pytest.mark.parametrize("number", [FORMAT + 1, 0, None, "1"])
def test_another_format_is_refused_with_both_numbers(number):
    """A profile of another format is not read by guesswork."""
    with pytest.raises(ProfileError, match=f"format {number}, this Trifold reads {FORMAT}"):
        Profile.from_json(FULL.to_json() | {"format": number})


@pytest.mark.parametrize(
    "document",
    [
        FULL.to_json() | {"colour": "red"},
        FULL.to_json() | {"features": None},
        FULL.to_json() | {"features": {"plan": {"colour": "red"}}},
        FULL.to_json() | {"features": {"plan": 5}},
        FULL.to_json() | {"features": {"plan": {"choices": 5}}},
        FULL.to_json() | {"image": 5},
        FULL.to_json() | {"image": {"width": 64}},
        FULL.to_json() | {"image": {"width": 64, "height": 64, "samples": 5}},
        FULL.to_json() | {"image": {"width": 64, "height": 64, "samples": [{"file": "a.png"}]}},
        FULL.to_json() | {"image": {"width": 64, "height": 64, "likeness": {"side": 2}}},
        [],
        [1, 2],
        5,
        None,
        "profile",
    ],
)
def test_what_is_no_profile_is_refused_in_a_sentence(document):
    """An unknown field or another shape is the artifact's fault, and is said so."""
    with pytest.raises(ProfileError, match="log the model again"):
        Profile.from_json(document)


def test_an_image_input_knows_its_numbers():
    """A grey picture has a number a pixel, one in colour three."""
    assert ImageInput(64, 48, "L").numbers == 64 * 48
    assert IMAGE.numbers == 3 * 64 * 48
    assert IMAGE.shape == (48, 64, 3)


@pytest.mark.parametrize(
    "size", [(0, 64, "L"), (64, MOST_SIDE + 1, "L"), (64, 64, "CMYK"), (64.0, 64, "L"), (True, 1, "L")]
)
def test_a_size_that_no_server_takes_is_refused(size):
    """Whoever logs the model is told, not whoever uploads the first picture."""
    with pytest.raises(ProfileError, match=f"{size[0]} x {size[1]}, mode '{size[2]}'"):
        ImageInput(*size)


def test_an_artifact_without_a_profile_has_none(tmp_path):
    """The profile is optional: a model that was logged by MLflow alone is served, and says what it lacks."""
    assert find(tmp_path) is None
    assert read(tmp_path) is None
    assert len(LACKS) == 4


def test_the_artifacts_profile_is_found_among_mlflows_extra_files(tmp_path):
    """MLflow puts extra_files into a folder of that name."""
    (tmp_path / "extra_files").mkdir()
    (tmp_path / "extra_files" / "profile.json").write_text(json.dumps(FULL.to_json()))
    assert read(tmp_path) == FULL


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b'"text"', b"null"])
def test_a_broken_file_is_refused_in_a_sentence(tmp_path, content):
    """A profile that is there but damaged is an error: silence would drop choices and thresholds."""
    (tmp_path / "extra_files").mkdir()
    (tmp_path / "extra_files" / "profile.json").write_bytes(content)
    with pytest.raises(ProfileError, match="log the model again"):
        read(tmp_path)


@pytest.mark.parametrize("kind", [Profile, Feature])
def test_every_field_is_optional(kind):
    """A profile says what it knows; each field has a default that means "not known"."""
    assert all(field.default is None or field.default_factory is dict for field in dataclasses.fields(kind))
