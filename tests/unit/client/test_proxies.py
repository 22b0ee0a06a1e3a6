"""Proxies of the environment: used where they are meant, never for this machine, and named where they are at fault."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import CyberImageClient, InvalidSetup
from client.command_line import main
from client.exit_codes import Exit
from client.proxies import proxy_for
from tests.programs import free_port
from tests.unit.client.contract_server import ContractServer

FAR = "http://pictures.example:5050"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        (FAR, {}, None),
        (FAR, {"http_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        (FAR, {"http_proxy": "proxy:3128"}, "http://proxy:3128"),
        (FAR, {"HTTP_PROXY": "http://big:1", "http_proxy": "http://small:1"}, "http://small:1"),
        (FAR, {"ALL_PROXY": "http://all:1"}, "http://all:1"),
        (FAR, {"ALL_PROXY": "http://all:1", "HTTP_PROXY": "http://http:1"}, "http://http:1"),
        (FAR, {"https_proxy": "http://proxy:3128"}, None),
        ("https://pictures.example", {"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        *[
            (url, {"http_proxy": "http://proxy:3128", "ALL_PROXY": "socks5://proxy:1080"}, None)
            for url in (
                "http://127.0.0.1:1",
                "http://127.9.9.9",
                "http://localhost",
                "http://[::1]:5",
                "http://a.localhost",
            )
        ],
    ],
)
def test_which_proxy(url: str, environment: dict[str, str], proxy: str | None) -> None:
    found = proxy_for(url, environment)
    assert (found.url if found else None) == proxy


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_direct"),
    [
        (FAR, "*", True),
        (FAR, "pictures.example", True),
        (FAR, ".example, other", True),
        (FAR, "*.example", True),
        (FAR, "EXAMPLE", True),
        (FAR, "tures.example", False),
        (FAR, "pictures.example:5050", True),
        (FAR, "pictures.example:80", False),
        (FAR, "", False),
        (FAR, " , ", False),
        (FAR, "fd00::/8", False),
        (FAR, "10.0.0.0/8,[fd00::]/8", False),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://10.1.2.3", "10.1.2.3:80", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://[fd00::1]:5050", "fd00::/8", True),
        ("http://[fd00::1]:5050", "fd00::1", True),
        ("http://[fd00::1]:5050", "[fd00::1]:5050", True),
        ("http://[fe00::1]", "fd00::/8", False),
        ("https://pictures.example", "pictures.example:443", True),
    ],
)
def test_exceptions(url: str, no_proxy: str, is_direct: bool) -> None:
    environment = {"ALL_PROXY": "http://proxy:3128", "no_proxy": no_proxy}
    assert (proxy_for(url, environment) is None) is is_direct


@given(st.text(), st.sampled_from(["http_proxy", "all_proxy", "no_proxy"]))
def test_whatever_the_environment_says_it_is_used_or_refused_in_a_sentence(value: str, name: str) -> None:
    with suppress(InvalidSetup):
        proxy_for(FAR, {name: value})


@pytest.mark.parametrize("name", ["ALL_PROXY", "http_proxy"])
def test_a_proxy_before_a_server_of_this_machine_is_left_out(
    studio: ContractServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "fd00::/8")
    assert main(["queue"]) == Exit.DONE


def test_a_proxy_is_used(studio: ContractServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", studio.url)
    studio.answers[f"GET {FAR}/api/queue"] = (200, {"pending": 3})
    with CyberImageClient(FAR) as client:
        assert client.queue().pending == 3


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("socks5://me:secret@proxy:1080", "socks5://proxy:1080 (ALL_PROXY) is a SOCKS proxy"),
        ("ftp://proxy", "ALL_PROXY begins with ftp://"),
        ("http://", "ALL_PROXY names no host"),
        ("http://proxy:port", "not the address of a proxy"),
        ("http://[::1", "not the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(
    value: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", value)
    assert main(["queue", "--url", FAR]) == Exit.USAGE
    said = capsys.readouterr().err
    assert sentence in said
    assert "secret" not in said
    assert said.count("\n") == 1


def test_a_proxy_that_is_away_is_blamed_and_not_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("client.transport._PAUSES", ())
    port = free_port()
    monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{port}")
    assert main(["queue", "--url", FAR]) == Exit.UNREACHABLE
    said = capsys.readouterr().err
    assert f"{FAR} cannot be reached through the proxy http://127.0.0.1:{port} (http_proxy): " in said
    assert "secret" not in said


def test_a_proxy_that_answers_itself_is_named(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", studio.url)
    studio.answers[f"GET {FAR}/api/queue"] = (407, b"<html>")
    assert main(["queue", "--url", FAR]) == Exit.REJECTED
    assert f"through the proxy {studio.url} (http_proxy)" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["a b", "schlüssel", "two\nlines"])
def test_a_key_that_is_none_is_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CYBERIMAGE_API_KEY", key)
    assert main(["queue"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "API key" in said
    assert key not in said


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://a:99999",
        "http://a:b",
        "http://a b",
        "http://a\n",
        "http://a?b",
        "http://",
        "http://\udcff",
        "http://...",
    ],
)
def test_an_address_that_is_none_gets_a_sentence(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["queue", "--url", url])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == Exit.USAGE
    assert "The address is" in capsys.readouterr().err or url == "http://\udcff"


def test_certificates_that_are_missing_get_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/authorities.pem")
    assert main(["queue", "--url", "https://pictures.example"]) == Exit.USAGE
    assert "SSL_CERT_FILE" in capsys.readouterr().err
