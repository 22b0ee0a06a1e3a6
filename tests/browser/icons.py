"""The page's icons as PNG, from its SVG: `python -m tests.browser.icons` makes those that are in the repository."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.programs import REPOSITORY

FOLDER: Final = REPOSITORY / "http_api" / "page"
#: Name, side in pixels, and whether a system may cut it to its own shape, of which a circle of 80 % is sure to stay.
ICONS: Final = (("icon-192.png", 192, False), ("icon-512.png", 512, False), ("icon-maskable-512.png", 512, True))


def main() -> None:
    """Write all of them beside the SVG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, side, is_maskable in ICONS:
            page = browser.new_page(viewport={"width": side, "height": side})
            _write(FOLDER / name, _drawn(page, side, is_maskable))
            page.close()
        browser.close()


def _drawn(page: Page, side: int, is_maskable: bool) -> bytes:
    svg = (FOLDER / "icon.svg").read_text(encoding="utf-8")
    if is_maskable:
        svg = svg.replace(' rx="8"', "")  # to the edges: the system rounds the corners
    sized = svg.replace("<svg ", f'<svg width="{side}" height="{side}" ', 1)
    page.set_content(f"<style>body{{margin:0}}svg{{display:block}}</style>{sized}")
    return page.screenshot(omit_background=True)


def _write(path: Path, png: bytes) -> None:
    with Image.open(io.BytesIO(png)) as picture:
        picture.save(path, optimize=True)


if __name__ == "__main__":
    main()
