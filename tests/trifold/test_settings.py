"""Settings come from the environment; one that makes no sense is refused in a sentence."""

from pathlib import Path

import pytest

from trifold.errors import TrifoldError
from trifold.settings import Settings


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


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "99999999999999999999", "٣"])
def test_a_number_that_is_none_is_refused(text):
    """A typing error in the values must not end in a traceback or a limit of nothing."""
    with pytest.raises(TrifoldError, match="TRIFOLD_PORT is"):
        Settings.from_environment({"TRIFOLD_PORT": text})


def test_an_empty_variable_is_as_if_it_were_not_set():
    """Charts write empty strings."""
    assert Settings.from_environment({"TRIFOLD_PORT": "", "TRIFOLD_DIGEST": ""}) == Settings()
