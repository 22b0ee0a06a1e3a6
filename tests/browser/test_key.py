"""The page before a server that asks for an API key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from http_api.access import digest_of
from tests.browser.conftest import Site
from tests.programs import wait_until

pytestmark = pytest.mark.browser

KEY = "a-key-of-the-tests"
#: Keys that may do less: their scopes, and the keys themselves.
OTHERS = {"read": ("read", "a-key-that-reads"), "submit": ("read,submit", "a-key-that-submits")}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "keys"
    others = "".join(f"{scope} {scopes} {digest_of(key)}\n" for scope, (scopes, key) in OTHERS.items())
    path.write_text(f"tests admin {digest_of(KEY)}\n{others}", encoding="utf-8")
    return {"CYBERIMAGE_API_KEYS": str(path)}


@pytest.fixture
def pictured(site: Site) -> Site:
    """One picture, and one job that runs."""
    site.api.client.headers["Authorization"] = f"Bearer {KEY}"
    site.draw("a red house")
    site.worker.show(site.worker.begin(site.submit("a castle"), step=3))
    return site


def enter(page: Any, key: str) -> None:
    """Type a key into the question for it."""
    page.wait_for_selector("#key-dialog[open]")
    page.fill("#key-input", key)
    page.click("#key-form button[type=submit]")


def wait_until_loaded(page: Any, selector: str) -> None:
    """Wait until a picture is really there."""
    loaded = f"document.querySelector('{selector}')?.naturalWidth > 0"
    wait_until(lambda: page.evaluate(loaded), 120, f"the picture {selector}")


def test_a_key_opens_the_page_its_pictures_and_its_streams(page: Any, pictured: Site) -> None:
    page.goto(pictured.api.base)
    enter(page, "a-wrong-key")
    page.wait_for_selector("text=The server did not accept this key.")
    enter(page, KEY)
    wait_until(lambda: page.input_value("#model"), about="the models")
    wait_until_loaded(page, ".tile img.picture")
    page.wait_for_selector("text=Step 3 of 20")
    wait_until_loaded(page, ".tile .preview")
    page.locator(".tile[data-image] .open").first.click()
    wait_until_loaded(page, "#viewer-image")
    with page.expect_download() as download:
        page.click("#viewer-download")
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.reload()
    wait_until_loaded(page, "#viewer-image")  # the tab still has the key
    assert page.evaluate("localStorage.getItem('cyberimage.key')") is None
    assert KEY not in page.content()


def test_a_key_is_kept_and_forgotten_as_its_owner_wants(page: Any, pictured: Site) -> None:
    page.goto(pictured.api.base)
    page.wait_for_selector("#key-dialog[open]")
    page.check("#key-keep")
    enter(page, KEY)
    wait_until_loaded(page, ".tile img.picture")
    assert page.evaluate("localStorage.getItem('cyberimage.key')") == KEY
    page.click("#menu-open")
    page.click("#key-open")
    page.click("#key-forget")
    page.wait_for_selector("#key-dialog[open]")
    assert page.evaluate("localStorage.getItem('cyberimage.key')") is None


def test_not_now_is_no_for_now(page: Any, pictured: Site) -> None:
    page.goto(pictured.api.base)
    page.wait_for_selector("#key-dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#banner:not([hidden])")
    assert not page.is_visible("#key-dialog")
    page.click("#menu-open")
    page.click("#key-open")
    enter(page, KEY)
    wait_until_loaded(page, ".tile img.picture")


@pytest.mark.parametrize(
    ("scope", "offered"),
    [("read", set()), ("submit", {"#submit", "#cancel-all"}), ("admin", {"#submit", "#cancel-all", "#pause"})],
)
def test_what_a_key_may_not_do_is_not_offered(page: Any, pictured: Site, scope: str, offered: set[str]) -> None:
    pictured.submit("a job that waits")
    page.goto(pictured.api.base)
    enter(page, OTHERS[scope][1] if scope in OTHERS else KEY)
    wait_until_loaded(page, ".tile img.picture")
    page.wait_for_selector("text=1 waiting")
    may = {"read": "read", "submit": "read submit", "admin": "read submit admin"}[scope]
    page.wait_for_selector(f"html[data-may='{may}']", state="attached")
    assert {name for name in ("#submit", "#cancel-all", "#pause") if page.is_visible(name)} == offered
    page.get_by_role("checkbox", name="Choose: a red house").check()
    assert page.is_visible("#selection-zip")
    assert page.is_visible("#selection-label") == ("#submit" in offered)
    assert page.is_visible("#selection-delete") == ("#pause" in offered)
    page.keyboard.press("Escape")
    page.locator(".tile[data-image] .open").first.click()
    page.wait_for_selector("#viewer[open]")
    assert page.is_visible("#viewer-delete") == ("#pause" in offered)
