"""The queue on the page: what waits, in which turn, what did not come, and who draws."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobs.runner_status import RunnerState
from jobs.schema import JobError, State
from tests.browser.conftest import Site
from tests.browser.test_page import make, open_page, pending, wait_for_tiles
from tests.programs import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def site(shared_site: Site) -> Site:
    """No test here needs a server of its own."""
    return shared_site


def turns(page: Any) -> list[str]:
    """The prompts of the list of waiting jobs, in order."""
    return [str(words) for words in page.locator("#queue-list .words").all_inner_texts()]


def test_a_cancelled_job_is_said_and_found_and_tried_again(page: Any, site: Site) -> None:
    open_page(page, site)
    make(page, "a slow boat")
    tile = page.locator(".tile.coming")
    tile.hover()
    wait_until(lambda: pending(site), about="the job")
    tile.get_by_role("button", name="Cancel: a slow boat").click()
    page.wait_for_selector(".toast >> text=Cancelled: “a slow boat”.")
    tile.wait_for(state="detached")
    assert pending(site) == []
    page.click("#ended-open")
    row = page.locator("#ended-list li", has_text="a slow boat").first
    row.locator("text=Cancelled").wait_for()
    row.get_by_role("button").click()
    tile.wait_for()
    assert site.worker.spool.find(site.waiting())[1].prompt == "a slow boat"


def test_a_failed_job_keeps_its_place_and_can_be_tried_again(page: Any, site: Site) -> None:
    open_page(page, site)
    make(page, "a forest in the fog")
    held = site.worker.begin(site.waiting())
    held.fail(JobError(type="out_of_memory", message="Out of memory at 1024x1024; about 768x768 should fit."))
    tile = page.locator(".tile.failed")
    tile.locator("text=about 768x768 should fit").wait_for()
    page.reload()
    tile.locator("text=about 768x768 should fit").wait_for()
    tile.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".tile.coming")
    site.worker.finish(site.worker.begin(site.waiting()))
    wait_for_tiles(page, 1)


def test_turns_are_changed_by_keys_and_by_dragging(page: Any, site: Site) -> None:
    for name in ("first", "second", "third"):
        site.submit(name)
    open_page(page, site)
    page.wait_for_selector("text=3 waiting")
    page.click("#queue-open")
    wait_until(lambda: turns(page) == ["first", "second", "third"], about="the list")
    page.get_by_role("button", name="Earlier: third").focus()
    page.keyboard.press("Alt+ArrowUp")
    wait_until(lambda: turns(page) == ["first", "third", "second"], about="the turn")
    rows = page.locator("#queue-list li")
    rows.nth(2).locator(".handle").hover()
    page.mouse.down()
    top = rows.first.bounding_box()
    page.mouse.move(top["x"] + 20, top["y"] + 2, steps=5)
    page.mouse.up()
    wait_until(lambda: turns(page) == ["second", "first", "third"], about="the turn")

    def order() -> list[str]:
        ids = [job["id"] for job in site.api.get("/jobs", params={"status": "pending"}).json()["jobs"]]
        return sorted((site.api.status(job)["prompt"] for job in ids), key=lambda prompt: places()[prompt])

    def places() -> dict[str, int]:
        ids = [job["id"] for job in site.api.get("/jobs", params={"status": "pending"}).json()["jobs"]]
        found = [site.api.status(job) for job in ids]
        return {status["prompt"]: status["queue_position"] for status in found}

    wait_until(lambda: order() == ["second", "first", "third"], about="the order of the server")
    page.reload()
    page.click("#queue-open")
    wait_until(lambda: turns(page) == ["second", "first", "third"], about="the order after a reload")
    page.get_by_role("button", name="Cancel: first").click()
    wait_until(lambda: turns(page) == ["second", "third"], about="one less")
    page.click("#cancel-all")
    page.wait_for_selector(".toast >> text=2 jobs cancelled.")
    wait_until(lambda: pending(site) == [], about="no job")


def test_many_waiting_jobs_are_one_line_and_no_flood(page: Any, site: Site) -> None:
    site.draw("a red house")
    for number in range(14):
        site.submit(f"job {number}")
    open_page(page, site)
    page.wait_for_selector("text=14 waiting")
    assert page.locator(".tile").count() == 1  # they were sent from elsewhere: the gallery stays
    for number in range(3):
        page.check("#counts [value='8']", force=True)
        make(page, f"my own {number}")
    page.wait_for_selector("text=17 waiting")
    wait_until(lambda: page.locator(".tile.coming").count() == 24, about="the placeholders")
    make(page, "one more")
    page.wait_for_selector("text=18 waiting")
    page.wait_for_timeout(200)
    assert page.locator(".tile.coming").count() <= 24


def test_pausing_is_told_and_taken_back(page: Any, site: Site) -> None:
    site.submit("a red house")
    open_page(page, site)
    page.click("#pause")
    page.wait_for_selector("#runner >> text=Paused")
    assert site.api.get("/queue").json()["paused"]
    page.click("#pause")
    page.wait_for_selector("#runner >> text=Paused", state="detached")
    assert not site.api.get("/queue").json()["paused"]


def test_who_draws_is_told_truly_and_at_once(page: Any, site: Site) -> None:
    open_page(page, site)
    page.wait_for_selector("#runner >> text=Ready")
    site.worker.appear(RunnerState.BUSY)
    held = site.worker.begin(site.submit("a castle"), step=10)
    site.submit("another castle")
    page.wait_for_selector("#runner >> text=Drawing")
    page.wait_for_selector("#queue-text >> text=1 waiting")
    wait_until(lambda: re.fullmatch(r"50 % \(2\) · CyberImage", page.title()), about="the title")
    site.worker.vanish()
    page.wait_for_selector("#runner >> text=Nobody draws")
    wait_until(lambda: "about" not in page.inner_text("#queue-text"), about="no estimate")
    assert " left" not in page.inner_text(".tile.coming")
    site.worker.appear(RunnerState.BUSY)
    page.wait_for_selector("#runner >> text=Drawing")
    site.worker.finish(held)
    site.worker.draw_pending()
    site.worker.appear(RunnerState.IDLE)
    page.wait_for_selector("#runner >> text=Ready")
    wait_until(lambda: page.inner_text("#queue-text") == "", about="an empty queue")
    wait_until(lambda: page.title() == "CyberImage", about="the title")


def test_cancelling_a_running_job_keeps_what_is_finished(page: Any, site: Site) -> None:
    open_page(page, site)
    page.check("#counts [value='2']", force=True)
    make(page, "two boats")
    held = site.worker.begin(site.waiting(), step=3)
    site.worker.commit(held, 1)
    wait_for_tiles(page, 1)
    page.locator(".tile.coming").hover()
    page.get_by_role("button", name="Cancel: two boats").click()
    page.wait_for_selector(".toast >> text=It stops at its next step")
    wait_until(held.cancel_requested, about="the request")
    held.cancel()
    page.wait_for_selector(".tile.coming", state="detached")
    wait_for_tiles(page, 1)
    assert site.worker.spool.find(held.job.id)[0] is State.CANCELLED
