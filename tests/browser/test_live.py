"""The page follows jobs through their event streams, and shows how their images grow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import Site
from tests.browser.test_page import open_page, tiles
from tests.programs import wait_until

pytestmark = pytest.mark.browser


def test_a_running_job_shows_how_its_image_grows(page: Any, site: Site) -> None:
    held = site.worker.begin(site.submit("a castle"), step=3)
    open_page(page, site)
    page.wait_for_selector(".job.running")
    assert not page.is_visible(".job-preview")
    site.worker.show(held)
    page.wait_for_selector(".job-preview")
    assert page.evaluate("document.querySelector('.job-preview').naturalWidth") > 0


def test_steps_arrive_without_being_asked_for(page: Any, site: Site) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    job_id = site.submit("a castle")
    held = site.worker.begin(job_id, step=3)
    open_page(page, site)
    page.wait_for_selector("text=Step 3/20")
    wait_until(lambda: [url for url in asked if url.endswith(f"{job_id}/events")], about="the stream")
    before = len([url for url in asked if f"/status/{job_id}" in url])
    for step in (5, 9, 14):
        site.worker.report(held, step)
        page.wait_for_selector(f"text=Step {step}/20")
    assert len([url for url in asked if f"/status/{job_id}" in url]) == before
    site.worker.finish(held)
    tiles(page).first.wait_for()
    page.wait_for_selector(".job", state="detached")


def test_where_the_stream_breaks_the_page_asks(page: Any, site: Site) -> None:
    page.route("**/events", lambda route: route.abort())
    held = site.worker.begin(site.submit("a castle"), step=3)
    open_page(page, site)
    page.wait_for_selector("text=Step 3/20")
    site.worker.report(held, 8)
    page.wait_for_selector("text=Step 8/20")
    site.worker.finish(held)
    tiles(page).first.wait_for()
