"""Ten thousand pictures: the page lists them as it is scrolled, and stays smooth."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.browser.conftest import Site
from tests.browser.test_page import open_page

pytestmark = [pytest.mark.browser, pytest.mark.long]

MANY = 10_000
FRAMES = 240
SHAPES = ((256, 256), (384, 256), (256, 384), (448, 256))
#: Lists pictures that nobody has: as the server would, but without the time that it and the test would need for them.
LISTING = """([model, webp, many, shapes]) => {
  const ask = window.fetch;
  const named = (place) => {
    const order = (0x19000000000 - place).toString(16).padStart(12, '0');
    const id = `${order.slice(0, 8)}-${order.slice(8)}-7000-8000-000000000000`;
    const [width, height] = shapes[place % shapes.length];
    return { ...model, id: `img_${id}_1`, job_id: id, width, height, prompt: `picture ${place}` };
  };
  window.fetch = async (address, options) => {
    const { pathname, searchParams } = new URL(address);
    if (!pathname.endsWith('/api/gallery')) return ask(address, options);
    const begin = Number(searchParams.get('cursor') ?? 0);
    const following = begin + 50 < many ? String(begin + 50) : null;
    const images = Array.from({ length: 50 }, (_, at) => named(begin + at));
    const paging = { page: 1, limit: 50, has_more: following !== null, total: many, next_cursor: following };
    return Response.json({ images, ...paging });
  };
  Object.defineProperty(HTMLImageElement.prototype, 'src', {
    set(address) { this.setAttribute('src', address.endsWith('/thumbnail') ? webp : address); },
    get() { return this.getAttribute('src'); },
  });
}"""
#: Goes to the end until the last picture is there.
TO_THE_END = """(last) => new Promise((done) => {
  const step = () => {
    if (document.querySelector(`[aria-label='${last}']`)) return done();
    scrollTo(0, document.documentElement.scrollHeight);
    setTimeout(step, 1);
  };
  step();
})"""
#: Scrolls by a third of the screen in each frame, and notes how long each took and how many tiles were in the page.
SCROLL = """(frames) => new Promise((done) => {
  const seen = { times: [], tiles: 0 };
  let before = performance.now();
  const step = (now) => {
    seen.times.push(now - before);
    before = now;
    seen.tiles = Math.max(seen.tiles, document.querySelectorAll('.tile').length);
    if (seen.times.length > frames) return done(seen);
    scrollBy(0, innerHeight / 3);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


@pytest.fixture
def site(shared_site: Site) -> Site:
    """No test here needs a server of its own."""
    return shared_site


def busy_seconds(chrome: Any) -> float:
    """Processor time of the page's main thread."""
    metrics = {item["name"]: item["value"] for item in chrome.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def test_ten_thousand_pictures_scroll_smoothly(page: Any, site: Site) -> None:
    site.draw("a red house")
    (model,) = site.api.get("/gallery").json()["images"]
    webp = base64.b64encode(site.api.get(f"/image/{model['id']}/thumbnail").content).decode()
    parts = json.dumps([model, f"data:image/webp;base64,{webp}", MANY, SHAPES])
    page.add_init_script(f"({LISTING})({parts})")
    open_page(page, site)
    last = f"Open: picture {MANY - 1}"
    page.evaluate(TO_THE_END, last)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_selector("[aria-label='Open: picture 0']")
    chrome = page.context.new_cdp_session(page)
    chrome.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = busy_seconds(chrome)
    seen = page.evaluate(SCROLL, FRAMES)
    each = 1000 * (busy_seconds(chrome) - before) / FRAMES
    times = sorted(seen["times"][1:])
    middle = times[len(times) // 2]
    print(f"{each:.1f} ms of the main thread, {middle:.1f} ms of time a frame; {seen['tiles']} tiles in the page")
    assert seen["tiles"] < 200
    assert each < 1000 / 60  # of the processor, not of a clock: this machine may be shared with others
    page.evaluate("scrollTo(0, 0)")
    page.focus("[aria-label='Open: picture 0']")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == last
