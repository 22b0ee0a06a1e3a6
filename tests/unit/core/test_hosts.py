"""Host names in all their forms."""

from __future__ import annotations

import pytest

from core import hosts
from core.settings import Settings


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.example", ("a.example", "")),
        ("A.Example.:80", ("a.example", "80")),
        ("127.0.0.1:5050", ("127.0.0.1", "5050")),
        ("::1", ("::1", "")),
        ("[::1]", ("::1", "")),
        ("[0:0:0:0:0:0:0:1]:5050", ("::1", "5050")),
        ("FE80::A", ("fe80::a", "")),
        ("", ("", "")),
        ("[", ("", "")),
        (":", ("", "")),
    ],
)
def test_name_and_port(host: str, expected: tuple[str, str]) -> None:
    assert hosts.split(host) == expected


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_names_of_this_machine(name: str) -> None:
    assert hosts.is_loopback(name)


@pytest.mark.parametrize("name", ["", "localhost.example", "128.0.0.1", "::", "0.0.0.0", "127.0.0.1.example"])
def test_other_names(name: str) -> None:
    assert not hosts.is_loopback(name)


@pytest.mark.parametrize("written", ["::1", "[::1]"])
def test_the_address_to_bind_has_no_brackets(written: str) -> None:
    assert Settings.from_environment({"CYBERIMAGE_HOST": written}).host == "::1"
