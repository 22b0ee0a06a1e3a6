"""Settings are parsed at the start; a wrong one is refused with its name, its value and what would be right."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from core.settings import RateLimit, Settings


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


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (None, RateLimit(amount=10, seconds=3600, others_only=True)),
        ("10/hour", RateLimit(amount=10, seconds=3600)),
        ("others:3/minute", RateLimit(amount=3, seconds=60, others_only=True)),
        ("off", None),
    ],
)
def test_a_rate_limit_says_whether_it_holds_for_this_machine_too(text: str | None, limit: RateLimit | None) -> None:
    environment = {} if text is None else {"CYBERIMAGE_RATE_LIMIT": text}
    assert Settings.from_environment(environment).rate_limit == limit


@pytest.mark.parametrize("text", ["others", "others:off", "others:", "10/hour:others", "others: 10/hour", "0/hour", ""])
def test_a_rate_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="others:10/hour"):
        Settings.from_environment({"CYBERIMAGE_RATE_LIMIT": text})


def test_an_endless_number_of_seconds_is_refused() -> None:
    with pytest.raises(SettingsError, match="CYBERIMAGE_STALL_SECONDS"):
        Settings.from_environment({"CYBERIMAGE_STALL_SECONDS": "9" * 400})


PATHS = ("CYBERIMAGE_DATA", "CYBERIMAGE_CATALOG", "CYBERIMAGE_MODELS", "CYBERIMAGE_API_KEYS")
HOSTS = ("CYBERIMAGE_HOST", "CYBERIMAGE_ALLOWED_HOSTS")
NAMES = [item.metadata["name"] for item in fields(Settings)]
DEFAULTS = {item.metadata["name"]: item.metadata["default"] for item in fields(Settings)}


def refused(name: str, value: str) -> str:
    """The sentence about a value, which names the variable and, where it is no secret, the value."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({name: value})
    sentence = str(caught.value)
    assert sentence.startswith(f"{name} is ")
    assert "; it must " in sentence
    return sentence


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    ("value", "right"),
    [
        ('"/x"', "without quotes"),
        ("'/x'", "without quotes"),
        ('"/x', "without quotes"),
        (" /x", "without blanks around it"),
        ("/x ", "without blanks around it"),
        ("/x\n", "without control characters"),
        ("/x\0y", "without control characters"),
        ("/x\udcff", "UTF-8"),
        ("http://x/y", "not a URL"),
        ("file:///x", "not a URL"),
        ("s3://x", "not a URL"),
        ("$HOME/x", "variables are not expanded"),
        ("${HOME}/x", "variables are not expanded"),
        ("~nobody-of-this-name/x", "no user here"),
        ("/" + "x" * 300, "255 between two slashes"),
    ],
)
def test_what_is_no_path_is_refused(name: str, value: str, right: str) -> None:
    assert right in refused(name, value)


@pytest.mark.parametrize("value", ["/x", "./x", "x/y z/ü", "../x", "/", "~/x", "/a:b", "/it's"])
def test_paths_are_taken(value: str) -> None:
    assert Settings.from_environment({"CYBERIMAGE_DATA": value}).data == Path(value).expanduser()


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize(
    "value",
    [
        "http://x",
        "a b",
        "*",
        "256.0.0.1",
        "10.0.0",
        "x..y",
        "-x",
        "[127.0.0.1]",
        "[::1",
        "::1]",
        "a/b",
        "x" * 64,
        "é" * 3,
    ],
)
def test_what_is_no_host_is_refused(name: str, value: str) -> None:
    assert "as " in refused(name, value)


@pytest.mark.parametrize("value", ["127.0.0.1:5050", "x:80", "[::1]:80", "a,b"])
def test_an_address_to_bind_has_no_port_and_is_one(value: str) -> None:
    assert "without a port" in refused("CYBERIMAGE_HOST", value)


@pytest.mark.parametrize(
    "value", ["127.0.0.1", "::1", "[::1]", "0.0.0.0", "::", "localhost", "pictures.example", "a-1"]
)
def test_hosts_are_taken(value: str) -> None:
    assert Settings.from_environment({"CYBERIMAGE_HOST": value}).host == value.strip("[]")
    assert Settings.from_environment({"CYBERIMAGE_ALLOWED_HOSTS": f"{value}, x.example:80"}).allowed_hosts == (
        value,
        "x.example:80",
    )


@pytest.mark.parametrize("value", [",", "a,,b", "a,", "a;b", "x:0", "x:99999", "x:y"])
def test_a_list_of_hosts_holds_nothing_else(value: str) -> None:
    assert "comma-separated" in refused("CYBERIMAGE_ALLOWED_HOSTS", value)


@pytest.mark.parametrize(
    "value", ["x", "ftp://x", "http://", "http://x:0", "http://x:y", "http://a b", "//x", "http:/x"]
)
def test_what_is_no_url_is_refused(value: str) -> None:
    assert f"OPENAI_ENDPOINT is {value!r}; it must be an http or https URL" in refused("OPENAI_ENDPOINT", value)


@pytest.mark.parametrize("value", ["http://u:sesame@x", "http://x/?key=sesame", "http://x/#sesame", "sesame@x"])
def test_a_url_that_may_hold_a_secret_is_not_shown(value: str) -> None:
    assert "sesame" not in refused("OPENAI_ENDPOINT", value)


@pytest.mark.parametrize("value", ["se same", "sesame\n", '"sesame"', "sésame", " sesame"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(value: str) -> None:
    assert "same" not in refused("OPENAI_API_KEY", value)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_refuses_quotes_and_control_characters(name: str) -> None:
    for value in (f'"{DEFAULTS[name]}"', f"'{DEFAULTS[name]}'", f"{DEFAULTS[name]}\0", f"{DEFAULTS[name]}\n"):
        refused(name, value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["", " "])
def test_empty_is_the_default_where_that_is_empty_and_refused_elsewhere(name: str, value: str) -> None:
    if DEFAULTS[name]:
        refused(name, value)
    else:
        assert Settings.from_environment({name: value}) == Settings()


@pytest.mark.parametrize("name", NAMES)
@given(value=st.text(max_size=40))
def test_any_text_is_a_value_or_a_sentence(name: str, value: str) -> None:
    sentence = None
    try:
        Settings.from_environment({name: value})
    except SettingsError as error:
        sentence = str(error)
    assert sentence is None or (sentence.startswith(f"{name} is ") and "; it must " in sentence)


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    assert "an integer from 1 to 65535" in refused("PORT", "9" * 5000)


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("auto", ("auto",)),
        ("CPU", ("cpu",)),
        ("cuda:0,cuda:1", ("cuda:0", "cuda:1")),
        (" cuda:12 , cpu ", ("cuda:12", "cpu")),
        ("cuda,cuda:1", ("cuda", "cuda:1")),
    ],
)
def test_devices_are_one_or_several(text: str, devices: tuple[str, ...]) -> None:
    assert Settings.from_environment({"CYBERIMAGE_DEVICE": text}).devices == devices


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("cpu,cpu", "must name each device once, since each has one worker."),
        ("cuda,cuda:0", "must name each device once, since each has one worker."),
        ("auto,cpu", "must name each device where there are several, since auto may be any of them."),
        ("cuda:0,", "must be auto, cpu, cuda or cuda:N (as cuda:0), or several devices (as cuda:0,cuda:1)."),
        ("cuda:0 cuda:1", "must be auto, cpu, cuda or cuda:N (as cuda:0), or several devices (as cuda:0,cuda:1)."),
    ],
)
def test_devices_that_cannot_each_have_a_worker_are_refused(text: str, right: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"CYBERIMAGE_DEVICE": text})
    assert str(caught.value) == f"CYBERIMAGE_DEVICE is {text!r}; it {right}"
