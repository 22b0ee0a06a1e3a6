"""How the page behaves in every size: nothing jumps, nothing scrolls sideways, axe finds nothing, it is light."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from http_api.api.page import PAGE_FOLDER
from tests.browser.conftest import Site
from tests.browser.test_page import make, open_page, pending, tiles, wait_for_tiles
from tests.programs import wait_until

pytestmark = pytest.mark.browser

#: What moved although nobody had just pressed anything: https://wicg.github.io/layout-instability/
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const it of list.getEntries()) {
    if (!it.hadRecentInput) window.shifts.push([it.value, it.sources.map((s) => s.node?.className ?? '')]);
  }
}).observe({ type: 'layout-shift', buffered: true });
"""
#: Resolves when what moves once has come to rest.
STILL = """Promise.all(document.getAnimations()
  .filter((it) => it.effect.getTiming().iterations === 1).map((it) => it.finished.catch(() => {})))"""
#: Marks when the form does what it is for.
USABLE = """
const look = () => {
  if (document.documentElement?.dataset.isReady) performance.mark('usable'); else requestAnimationFrame(look);
};
look();
"""
WIDTHS = [(360, 780), (768, 1024), (1440, 900)]


@pytest.fixture
def site(shared_site: Site) -> Site:
    """No test here needs a server of its own."""
    return shared_site


def shift(page: Any) -> float:
    """The sum of all that moved."""
    return float(page.evaluate("window.shifts.reduce((sum, [value]) => sum + value, 0)"))


def test_nothing_jumps_over_a_run_of_jobs(page: Any, site: Site) -> None:
    site.draw("a red house", "a blue boat", "a green tree")
    page.add_init_script(SHIFTS)
    open_page(page, site)
    wait_for_tiles(page, 3)
    for number in range(7):
        make(page, f"my own {number}")
    for number in range(8):
        site.submit(f"from elsewhere {number}", width=384)
    page.wait_for_selector("text=15 waiting")
    for job_id in sorted(pending(site)):
        held = site.worker.begin(job_id, step=5)
        page.wait_for_selector("text=Step 5 of 20")
        site.worker.show(held)
        page.wait_for_selector(".tile.has-preview")
        site.worker.finish(held)
        page.wait_for_selector("text=Step 5 of 20", state="detached")
    wait_for_tiles(page, 18)
    assert shift(page) < 0.02, page.evaluate("window.shifts")


def test_who_has_scrolled_down_keeps_the_place(page: Any, site: Site) -> None:
    for number in range(10):
        site.submit(f"picture {number}", num_images=4)
    site.worker.draw_pending()
    page.add_init_script(SHIFTS)
    open_page(page, site)
    wait_until(lambda: page.inner_text("#gallery-count") == "40", about="the pictures")
    tile = page.locator(".tile", has=page.get_by_role("button", name="Open: picture 2")).first
    tile.scroll_into_view_if_needed()
    before = tile.bounding_box()
    for number in range(6):
        site.submit(f"new {number}", num_images=4)
    site.worker.draw_pending()
    wait_until(lambda: page.inner_text("#gallery-count") == "64", about="the new pictures")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert tile.bounding_box()["y"] == pytest.approx(before["y"], abs=2)
    assert shift(page) < 0.02, page.evaluate("window.shifts")


@pytest.mark.parametrize("width", [320, 768, 2560])
def test_no_width_scrolls_sideways(page: Any, site: Site, width: int) -> None:
    site.draw("averyveryverylongwordwithoutanyspaces" * 6)
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, site)
    tiles(page).first.wait_for()
    if width < 720:
        page.click("#options-open")
    page.click("#drawer-open")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('#form').scrollWidth") <= width


def test_every_module_is_asked_for_at_once() -> None:
    seen: set[str] = set()

    def follow(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for other in re.findall(
                r'^import .*?from "\./(.*?)"', (PAGE_FOLDER / name).read_text("utf-8"), re.MULTILINE
            ):
                follow(other)

    follow("app.js")
    index = (PAGE_FOLDER / "index.html").read_text("utf-8")
    preloaded = re.findall(r'rel="modulepreload" href="static/(.*?)"', index)
    assert sorted(preloaded) == sorted(seen - {"app.js"})


def test_the_page_is_light_and_asks_nobody_else(page: Any, site: Site) -> None:
    received: dict[str, float] = {}
    names: dict[str, str] = {}
    chrome = page.context.new_cdp_session(page)
    chrome.send("Network.enable")
    chrome.on("Network.responseReceived", lambda it: names.update({it["requestId"]: it["response"]["url"]}))
    chrome.on("Network.loadingFinished", lambda it: received.update({it["requestId"]: it["encodedDataLength"]}))
    site.draw("a red house")
    open_page(page, site)
    page.wait_for_selector(".tile img.is-there")
    assert all(url.startswith((site.api.base, "blob:", "data:")) for url in names.values())
    pictures = re.compile(r"/thumbnail|\.svg|\.png|/service-worker\.js")
    later = re.compile(
        r"/(viewer[a-z-]*|zoom|compare|keys|keys-help|offline|attention)\.(js|css)$"
    )  # after the page stands
    needed = {names[key]: size for key, size in received.items() if key in names and not pictures.search(names[key])}
    whole = sum(needed.values())
    at_first = sum(size for url, size in needed.items() if not later.search(url))
    print(f"{at_first:.0f} bytes to begin with, {whole:.0f} with what comes later")
    assert at_first <= 80_000, needed
    assert whole <= 110_000, needed


@contextmanager
def slow_line(page: Any) -> Iterator[None]:
    """3G as the tools of browsers emulate it: 1.6 Mbit/s down, 0.75 up, 562 ms before each answer."""
    chrome = page.context.new_cdp_session(page)
    chrome.send("Network.enable")
    speeds = {"downloadThroughput": 1.6e6 / 8 * 0.9, "uploadThroughput": 0.75e6 / 8 * 0.9, "latency": 562}
    chrome.send("Network.emulateNetworkConditions", {"offline": False, **speeds})
    yield
    chrome.send("Network.disable")


@pytest.mark.long  # measures time, and needs a machine that has some
def test_a_slow_line_shows_the_page_soon(page: Any, site: Site) -> None:
    site.draw("a red house")
    page.add_init_script(USABLE)
    with slow_line(page):
        page.goto(site.api.base, wait_until="commit")
        page.fill("#prompt", "a boat")
        page.click("#submit")
        page.wait_for_selector(".tile.coming")
        marks = "['first-contentful-paint', 'usable'].every((name) => performance.getEntriesByName(name).length)"
        wait_until(lambda: page.evaluate(marks), about="the marks")
        painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        usable = page.evaluate("performance.getEntriesByName('usable')[0].startTime")
    print(f"first paint after {painted:.0f} ms, usable after {usable:.0f} ms")
    assert painted <= 1500
    assert usable <= 4000


def view_all(page: Any, site: Site, width: int) -> Iterator[str]:
    """Each view of the page in turn, by name."""
    is_phone = width < 720
    yield "gallery"
    if is_phone:
        page.click("#options-open")
        yield "options"
    page.click("#drawer-open")
    page.fill("#width", "300")
    page.fill("#prompt", "a house")
    page.click("#submit")
    page.wait_for_selector("#width-error:not([hidden])")
    yield "drawer with an error"
    page.click("#width-error button")
    page.click("#options-open" if is_phone else "#drawer-open")
    page.click("#queue-open")
    yield "queue"
    page.keyboard.press("Escape")
    page.click("#ended-open")
    page.wait_for_selector("#ended-list li")
    yield "not drawn"
    page.keyboard.press("Escape")
    tiles(page).first.locator(".chosen").check(force=True)
    page.wait_for_selector("#selection")
    yield "selection"
    page.click("#selection-label")
    page.wait_for_selector("#label-dialog[open]")
    yield "labels"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.evaluate("scrollTo(0, 0)")
    page.click("#menu-open")
    yield "menu"
    page.click("#help-open")
    yield "help"
    page.keyboard.press("Escape")
    tiles(page).first.locator(".open").click()
    page.wait_for_selector("#viewer[open]")
    wait_until(lambda: page.evaluate("document.querySelector('#viewer-image').naturalWidth > 0"), about="the picture")
    yield "viewer"


def check_with_axe(axe: Any, page: Any, site: Site, width: int) -> None:
    """Fail for whatever axe finds in any view."""
    site.draw("a red house", "a blue boat")
    held = site.worker.begin(site.submit("a castle"), step=5)
    site.worker.show(held)
    cancelled = site.submit("a cancelled boat")
    site.api.post(f"/jobs/{cancelled}/cancel")
    site.submit("a job that waits")
    open_page(page, site)
    page.wait_for_selector(".tile.has-preview")
    page.wait_for_selector("text=1 waiting")
    for name in view_all(page, site, width):
        page.evaluate(STILL)
        found = axe.Axe().run(page)["violations"]
        said = [(item["id"], item["impact"], [node["html"][:160] for node in item["nodes"]]) for item in found]
        assert said == [], (name, said)


def test_axe_finds_nothing_in_any_view(page: Any, site: Site) -> None:
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core is not installed")
    check_with_axe(axe, page, site, 1280)


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_axe_finds_nothing_in_any_size(
    new_page: Callable[..., Any], site: Site, width: int, height: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core is not installed")
    page = new_page(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
    check_with_axe(axe, page, site, width)
