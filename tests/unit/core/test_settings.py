"""Settings are parsed at the start; a wrong one is refused with its name, its value and what would be right."""

from __future__ import annotations

import pytest

from core.errors import SettingsError
from core.settings import Settings


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", (0,)), ("0,30,120", (0, 30, 120)), (" 0.5 , 7 ", (0.5, 7)), ("0030", (30,))]
)
def test_retry_delays_are_seconds(text: str, seconds: tuple[float, ...]) -> None:
    found = Settings.from_environment({"CYBERIMAGE_RETRY_DELAYS": text}).retry_delays
    assert found == seconds
    assert all(isinstance(delay, float) for delay in found)


def test_retry_delays_have_a_default() -> None:
    assert Settings().retry_delays == (0, 30, 120)


@pytest.mark.parametrize(
    "text",
    [
        "0s,30s",
        "5s",
        "-5",
        "nan",
        "inf",
        "1e3",
        "",
        " ",
        ",",
        "0,,30",
        "0,30,",
        ",0",
        "0;30",
        "0 30",
        "\u0665",
        "9" * 400,
    ],
)
def test_retry_delays_that_are_no_seconds_are_refused(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"CYBERIMAGE_RETRY_DELAYS": text})
    sentence = str(caught.value)
    assert sentence.startswith(f"CYBERIMAGE_RETRY_DELAYS is {text!r}; it must be numbers of seconds")
    assert "0,30,120" in sentence


def test_an_endless_number_of_seconds_is_refused() -> None:
    with pytest.raises(SettingsError, match="CYBERIMAGE_STALL_SECONDS"):
        Settings.from_environment({"CYBERIMAGE_STALL_SECONDS": "9" * 400})
