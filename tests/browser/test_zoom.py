"""The arithmetic of zoom and pan, as the browser does it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import Site

pytestmark = pytest.mark.browser


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The one server of all tests."""
    return shared_site


def test_any_zoom_keeps_its_place_and_leaves_no_gap(page: Any, site: Site) -> None:
    page.goto(site.api.base)
    problems = page.evaluate("""async () => {
        const { fitOf, panned, zoomed, FIT } = await import("./static/zoom.js");
        const random = (low, high) => low + Math.random() * (high - low);
        const found = [];
        for (let round = 0; round < 2000; round += 1) {
            const stage = { width: random(200, 2000), height: random(200, 2000), x: random(0, 64), y: random(0, 64) };
            const picture = { width: random(64, 4096), height: random(64, 4096) };
            const fit = fitOf(stage, picture);
            let view = FIT;
            for (let step = 0; step < 5; step += 1) {
                const at = { x: random(-1, 1) * stage.width / 2, y: random(-1, 1) * stage.height / 2 };
                const next = Math.random() < 0.5
                    ? zoomed(view, random(0.3, 4), at, stage, picture)
                    : panned(view, random(-900, 900), random(-900, 900), stage, picture);
                for (const [side, place] of [["width", "x"], ["height", "y"]]) {
                    const size = picture[side] * fit * next.zoom;
                    const gap = Math.max(0, Math.abs(next[place]) - Math.abs(size - stage[side]) / 2);
                    const isOff = size <= stage[side] && Math.abs(next[place]) > 0.01;
                    if (gap > 0.01 || isOff) found.push([stage, picture, view, next]);
                    const isFree = next.zoom !== view.zoom && Math.abs(next[place]) < (size - stage[side]) / 2 - 0.01;
                    const point = (of) => (at[place] - of[place]) / of.zoom;
                    if (isFree && Math.abs(point(next) - point(view)) > 0.01)
                        found.push([stage, picture, view, next]);
                }
                view = next;
            }
        }
        return found.slice(0, 3);
    }""")
    assert problems == []
