"""The page lives by one stream: it polls nothing, and is true again as soon as a cut connection is back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Site
from tests.browser.test_page import make, open_page, pending, tiles, wait_for_tiles
from tests.programs import wait_until

pytestmark = pytest.mark.browser


def test_two_tabs_see_the_same(page: Any, site: Site, new_page: Callable[..., Any]) -> None:
    asked: list[str] = []
    open_page(page, site)
    other = new_page(page.context)
    open_page(other, site)
    make(page, "a castle")
    other.wait_for_selector(".tile.coming")
    other.on("request", lambda request: asked.append(request.url))
    held = site.worker.begin(site.waiting(), step=3)
    for tab in (page, other):
        tab.wait_for_selector("text=Step 3 of 20")
    for step in (5, 9, 14):
        site.worker.report(held, step)
        other.wait_for_selector(f"text=Step {step} of 20")
    site.worker.finish(held)
    for tab in (page, other):
        wait_for_tiles(tab, 1)
        tab.wait_for_selector(".tile.coming", state="detached")
    assert [url for url in asked if "thumbnail" not in url] == []


def test_a_restarted_server_is_found_again_and_nothing_is_missed(page: Any, site: Site) -> None:
    open_page(page, site)
    make(page, "a castle")
    page.wait_for_selector(".tile.coming")
    held = site.worker.begin(site.waiting(), step=3)
    page.wait_for_selector("text=Step 3 of 20")
    site.api.kill_all()
    page.wait_for_selector("#banner >> text=cannot be reached")
    page.wait_for_selector("#runner >> text=No connection")
    site.worker.finish(held)  # the runner needs no server
    make(page, "a boat made meanwhile")
    page.wait_for_selector("text=Not sent yet")
    site.api.start()
    site.api.wait_until_ready()
    wait_for_tiles(page, 1)
    page.wait_for_selector("#banner", state="hidden")
    wait_until(lambda: page.evaluate("1") and len(pending(site)) == 1, about="the job that was not sent")
    page.wait_for_selector("text=Not sent yet", state="detached")
    assert tiles(page).count() == 1


def test_where_streams_break_the_page_comes_back_each_time(page: Any, site: Site) -> None:
    answers = 0

    def cut(route: Any) -> None:
        nonlocal answers
        answers += 1
        if answers % 2:
            route.abort()
        else:
            route.fulfill(status=200, content_type="text/event-stream", body=state())

    def state() -> str:
        status = site.api.get(f"/status/{job_id}").text
        return f'event: jobs\ndata: {{"order": ["{job_id}"], "more": 0}}\n\nevent: job\ndata: {status}\n\n'

    job_id = site.submit("a castle")
    held = site.worker.begin(job_id, step=3)
    page.route("**/api/events", cut)
    open_page(page, site)
    page.wait_for_selector("text=Step 3 of 20")
    site.worker.report(held, 8)
    page.wait_for_selector("text=Step 8 of 20")
    site.worker.finish(held)
    page.unroute("**/api/events")
    wait_for_tiles(page, 1)
