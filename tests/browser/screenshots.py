"""Pictures of the page, empty, busy and full, into ./screenshots: `python -m tests.browser.screenshots`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests import programs
from tests.browser.conftest import CHROMIUM, FLAGS, Site
from tests.browser.stand_in import StandIn
from tests.programs import REPOSITORY

FOLDER = REPOSITORY / "screenshots"
SIZES = {"phone": (390, 844), "tablet": (1024, 768), "desktop": (1600, 1000)}
PROMPTS = [
    f"a {colour} {thing} at {time}"
    for time in ("dawn", "night")
    for thing in ("house", "boat")
    for colour in ("red", "blue", "green")
]


def main() -> None:
    """Take all of them."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        data = Path(folder) / "data"
        with programs.api(data) as api:
            site = Site(api, StandIn(data))
            shoot(browser, site, "empty")
            site.draw(*PROMPTS)
            shoot(browser, site, "full")
            held = site.worker.begin(site.submit("a lighthouse by the sea"), step=9)
            site.submit("a castle on a hill")
            shoot(browser, site, "busy")
            site.worker.finish(held)
        browser.close()


def shoot(browser: Browser, site: Site, name: str) -> None:
    """The page in every size and both colour schemes."""
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(site.api.base)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=FOLDER / f"{name}-{size}-{scheme}.png")
            page.close()


if __name__ == "__main__":
    main()
