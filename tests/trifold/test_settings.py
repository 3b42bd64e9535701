"""Settings come from the environment; one that makes no sense is refused in a sentence."""

import re
from pathlib import Path

import pytest
import yaml

from trifold.errors import TrifoldError
from trifold.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_defaults_are_those_of_a_pod():
    """Nothing has to be set."""
    found = Settings.from_environment({})
    assert found == Settings()
    assert (found.port, found.threads, found.max_body_bytes, found.max_rows) == (3000, 1, 10_000_000, 10_000)


def test_variables_are_read():
    """Each setting has a variable of its name."""
    found = Settings.from_environment(
        {"TRIFOLD_MODEL": "/model", "TRIFOLD_DIGEST": "abc", "TRIFOLD_PORT": "8080", "TRIFOLD_MAX_ROWS": "5"}
    )
    assert (found.model, found.digest, found.port, found.max_rows) == (Path("/model"), "abc", 8080, 5)


def test_the_chart_has_the_same_limits():
    """A pod and a server on a laptop refuse the same requests."""
    chart = yaml.safe_load((ROOT / "charts/model-serving/values.yaml").read_text())["online"]["limits"]
    names = {name: re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name) for name in chart}
    assert chart == {name: getattr(Settings(), setting) for name, setting in names.items()}
    assert Settings().max_waiting == 1024


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "99999999999999999999", "٣"])
def test_a_number_that_is_none_is_refused(text):
    """A typing error in the values must not end in a traceback or a limit of nothing."""
    with pytest.raises(TrifoldError, match="TRIFOLD_PORT is"):
        Settings.from_environment({"TRIFOLD_PORT": text})


def test_an_empty_variable_is_as_if_it_were_not_set():
    """Charts write empty strings."""
    assert Settings.from_environment({"TRIFOLD_PORT": "", "TRIFOLD_DIGEST": ""}) == Settings()
