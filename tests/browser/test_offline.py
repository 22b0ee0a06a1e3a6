"""The page without its server: what was loaded before can be looked at, and nothing else."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import falcon
import pytest

from http_api.access import digest_of
from http_api.api.page import PAGE_FOLDER, PageResource, ServiceWorkerResource
from http_api.server.client_address import ClientAddressFinder
from tests import programs
from tests.browser.conftest import Site
from tests.browser.stand_in import StandIn
from tests.programs import wait_until
from tests.reverse_proxy import reverse_proxy

pytestmark = pytest.mark.browser

KEY = "a-key-of-the-tests"
#: The addresses that are kept, without the host, by the caches they lie in.
KEPT = """async () => Object.fromEntries(await Promise.all((await caches.keys()).map(async (name) =>
    [name, (await (await caches.open(name)).keys()).map((request) => new URL(request.url).pathname)])))"""
LOADED = "[...document.querySelectorAll('#gallery img')].filter((it) => it.naturalWidth > 0).length"


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """The one server of all tests, but where a key is needed."""
    if "key" not in request.node.name:
        yield request.getfixturevalue("shared_site")
        return
    (tmp_path / "keys").write_text(f"tests admin {digest_of(KEY)}\n", encoding="utf-8")
    with programs.api(tmp_path / "data", {"CYBERIMAGE_API_KEYS": str(tmp_path / "keys")}) as api:
        yield Site(api, StandIn(tmp_path / "data"))


def kept(page: Any, kind: str) -> list[str]:
    """What is kept of a kind, whoever it was for."""
    return [path for name, paths in page.evaluate(KEPT).items() if name.endswith(f" {kind}") for path in paths]


def wait_until_kept(page: Any, kind: str, number: int) -> None:
    """Wait until so much of a kind is kept."""
    wait_until(lambda: len(kept(page, kind)) >= number, about=f"{number} {kind} that are kept")


def wait_for_pictures(page: Any, number: int) -> None:
    """Wait until the gallery really shows so many."""
    wait_until(lambda: page.evaluate(LOADED) == number, about=f"{number} pictures")


def test_what_was_loaded_before_is_seen_offline_and_below_a_path(page: Any, site: Site) -> None:
    site.submit("a red house", seed=77)
    site.worker.draw_pending()
    site.draw("a blue boat")
    with reverse_proxy(site.api.base, "/ai") as proxy:
        page.goto(f"{proxy}/ai/")
        page.evaluate("caches.open('cyberimage / shell of another installation')")
        wait_until_kept(page, "thumbnails", 2)  # although nobody could keep them when they were loaded
        page.click("[aria-label='Open: a red house']")
        wait_until_kept(page, "pictures", 1)
        page.keyboard.press("Escape")
        wait_until(lambda: page.evaluate("location.search") == "", about="the address without the picture")
        page.context.set_offline(True)
        page.reload()
        wait_for_pictures(page, 2)
        page.wait_for_selector("text=Offline: what was loaded before is shown.")
        page.click("[aria-label='Open: a red house']")
        page.wait_for_selector("#viewer-facts >> text=77")
        width = "document.querySelector('#viewer-image').naturalWidth"
        wait_until(lambda: page.evaluate(width) == 128, about="the picture")
        page.context.set_offline(False)
        page.wait_for_selector(".offline", state="detached")
        scopes = page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.map((it) => it.scope))")
        assert scopes == [f"{proxy}/ai/"]
        assert "cyberimage / shell of another installation" in page.evaluate(KEPT)


class Server(ThreadingMixIn, WSGIServer):
    """Answers several requests at once."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@contextmanager
def files_served(folder: Path) -> Iterator[str]:
    """Only the page's files, from a folder that a test may change; returns the address."""
    app = falcon.App(middleware=[ClientAddressFinder(0)])
    app.add_route("/", PageResource(folder, fixed="index.html"))
    app.add_route("/static/{name}", PageResource(folder))
    app.add_route("/service-worker.js", ServiceWorkerResource(folder))
    server = make_server("127.0.0.1", 0, app, server_class=Server, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_an_upgrade_is_seen_at_once_and_offline_too(browser: Any, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    shutil.copytree(PAGE_FOLDER, folder)
    index = folder / "index.html"
    page = browser.new_page()
    page.set_default_timeout(60_000)

    def shells() -> list[str]:
        return [name for name in page.evaluate(KEPT) if " shell " in name]

    with files_served(folder) as address:
        page.goto(address)
        wait_until(lambda: page.evaluate("navigator.serviceWorker.controller !== null"), about="the service worker")
        [first] = shells()
        index.write_text(
            index.read_text(encoding="utf-8").replace("CyberImage</h1>", "Upgraded</h1>"), encoding="utf-8"
        )
        page.reload()
        assert page.inner_text("h1") == "Upgraded"
        wait_until(lambda: shells() and first not in shells(), about="the new version alone")
        assert len(shells()) == 1
    page.reload()
    assert page.inner_text("h1") == "Upgraded"
    page.close()


def enter_key(page: Any, is_to_be_kept: bool) -> None:
    """Answer the question for the key."""
    page.wait_for_selector("#key-dialog[open]")
    page.set_checked("#key-keep", is_to_be_kept)
    page.fill("#key-input", KEY)
    page.click("#key-form button[type=submit]")


def test_another_key_or_none_forgets_what_was_kept(page: Any, site: Site) -> None:
    site.api.client.headers["Authorization"] = f"Bearer {KEY}"
    site.draw("a red house")
    page.goto(site.api.base)
    enter_key(page, is_to_be_kept=False)
    wait_for_pictures(page, 1)
    wait_until(lambda: page.evaluate("navigator.serviceWorker.controller !== null"), about="the service worker")
    page.reload()
    wait_for_pictures(page, 1)
    assert kept(page, "thumbnails") == []  # a key that goes with its tab leaves nothing behind
    page.evaluate("sessionStorage.clear()")
    page.reload()
    enter_key(page, is_to_be_kept=True)
    wait_until_kept(page, "thumbnails", 1)
    assert KEY not in str(page.evaluate(KEPT))
    page.evaluate("localStorage.clear()")
    page.reload()
    page.wait_for_selector("#key-dialog[open]")
    wait_until(lambda: list(page.evaluate(KEPT)) and not kept(page, "thumbnails"), about="nothing that is kept")
    assert all(" shell " in name for name in page.evaluate(KEPT))


def test_what_is_kept_is_bounded_and_the_oldest_goes(page: Any, site: Site) -> None:
    site.draw("a red house", "a blue boat")
    page.goto(f"{site.api.base}/docs")  # where nothing is kept yet
    page.evaluate("""async () => {
        const thumbnails = await caches.open("cyberimage / open thumbnails");
        for (let number = 0; number < 600; number += 1) {
            await thumbnails.put(`/older/${number}`, new Response("", { headers: { "Content-Length": "1" } }));
        }
        const pictures = await caches.open("cyberimage / open pictures");
        await pictures.put("/older/large", new Response("", { headers: { "Content-Length": String(160 * 2 ** 20) } }));
    }""")
    page.goto(site.api.base)
    wait_until(lambda: sum("/api/" in path for path in kept(page, "thumbnails")) == 2, about="the new ones")
    wait_until(lambda: len(kept(page, "thumbnails")) == 600, about="no more than allowed")
    assert not {"/older/0", "/older/1"} & set(kept(page, "thumbnails"))
    page.click("[aria-label='Open: a red house']")
    wait_until(lambda: "/older/large" not in kept(page, "pictures"), about="room for the new picture")
