"""The page as a person uses it."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.schema import State
from tests.browser.conftest import Site
from tests.programs import wait_until

pytestmark = pytest.mark.browser


def open_page(page: Any, site: Site, query: str = "") -> None:
    """Load the page and wait until its models are there."""
    page.goto(f"{site.api.base}/{query}")
    wait_until(lambda: page.input_value("#model"), about="the models")


def tiles(page: Any) -> Any:
    """The pictures of the gallery."""
    return page.locator(".tile")


def wait_for_tiles(page: Any, number: int) -> None:
    """Wait until the gallery shows so many pictures."""
    wait_until(lambda: tiles(page).count() == number, about=f"{number} pictures")


def test_a_prompt_becomes_a_picture_in_the_gallery(page: Any, site: Site) -> None:
    open_page(page, site)
    page.fill("#prompt", "a red house")
    page.click("#submit")
    page.wait_for_selector(".job")
    job_id = wait_until(lambda: next(iter(site.worker.spool.ids(State.PENDING)), None), about="the job")
    held = site.worker.begin(job_id, step=7)
    page.wait_for_selector("text=Step 7/20")
    site.worker.finish(held)
    tiles(page).first.wait_for()
    page.wait_for_selector(".job", state="detached")
    assert "a red house" in tiles(page).first.inner_text()


def test_an_empty_page_offers_words_to_begin_with(page: Any, site: Site) -> None:
    open_page(page, site)
    example = page.locator("#examples button").first
    example.click()
    assert page.input_value("#prompt") == example.inner_text()
    page.keyboard.press("Enter")  # the button that makes the picture has the focus
    page.wait_for_selector(".job")


def test_search_lives_in_the_address(page: Any, site: Site) -> None:
    site.draw("a red house", "a blue boat", "a red boat")
    open_page(page, site)
    wait_for_tiles(page, 3)
    page.fill("#search", "red boat")
    wait_for_tiles(page, 1)
    assert "search=red+boat" in page.url
    page.reload()
    wait_for_tiles(page, 1)
    assert page.input_value("#search") == "red boat"
    page.go_back()
    wait_for_tiles(page, 3)


def test_a_picture_can_be_looked_at_made_again_and_deleted(page: Any, site: Site) -> None:
    site.submit("a lighthouse", seed=77)
    site.worker.draw_pending()
    open_page(page, site)
    tiles(page).first.click()
    page.wait_for_selector("#viewer[open]")
    assert "77" in page.inner_text("#viewer-facts")
    assert "image=img_" in page.url
    page.reload()
    page.wait_for_selector("#viewer[open]")
    page.click("#viewer-again")
    again = wait_until(lambda: next(iter(site.worker.spool.ids(State.PENDING)), None), about="the job")
    assert site.worker.spool.find(again)[1].effective_settings.seed == 77
    site.worker.draw_pending()
    wait_for_tiles(page, 2)
    tiles(page).first.click()
    page.wait_for_selector("#viewer[open]")
    page.click("#viewer-delete")
    page.click("#viewer-delete")
    wait_for_tiles(page, 1)
    assert site.api.get("/gallery").json()["total"] == 1


def test_enriched_words_are_shown_before_they_are_used(page: Any, site: Site) -> None:
    open_page(page, site)
    page.fill("#prompt", "a castle on a hill")
    page.select_option("#style", "fantasy")
    page.click("#enrich")
    page.wait_for_selector("#proposal:not([hidden])")
    assert page.input_value("#prompt") == "a castle on a hill"
    proposed = page.inner_text("#proposal-text")
    page.click("#proposal-use")
    assert page.input_value("#prompt") == proposed


def test_errors_stand_where_they_belong(page: Any, site: Site) -> None:
    open_page(page, site)
    page.click("#submit")
    page.wait_for_selector("#prompt-error:not([hidden])")
    page.fill("#prompt", "a house")
    page.click("summary")
    page.fill("#width", "250")
    page.click("#submit")
    page.wait_for_selector("#settings-error:not([hidden])")
    assert "250" in page.inner_text("#settings-error")
    assert page.get_attribute("#width", "aria-invalid") == "true"


def test_a_job_can_be_cancelled(page: Any, site: Site) -> None:
    open_page(page, site)
    page.fill("#prompt", "a slow boat")
    page.click("#submit")
    page.click(".job button")
    page.wait_for_selector(".job", state="detached")
    wait_until(lambda: list(site.worker.spool.ids(State.CANCELLED)), about="the cancellation")


def test_prompts_are_text_and_never_markup(page: Any, site: Site) -> None:
    site.draw("<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>")
    open_page(page, site)
    tiles(page).first.click()
    page.wait_for_selector("#viewer[open]")
    assert "<script>" in page.inner_text("#viewer-prompt")
    assert page.title() == "CyberImage"


def test_the_keyboard_is_enough(page: Any, site: Site) -> None:
    site.draw("a blue tree")
    open_page(page, site)
    tiles(page).first.wait_for()
    page.focus("#prompt")
    page.keyboard.type("a house by keyboard")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".job")
    tiles(page).first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#viewer[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer:not([open])", state="attached")


@pytest.mark.parametrize("width", [320, 390, 1024, 1600])
def test_no_width_scrolls_sideways(page: Any, site: Site, width: int) -> None:
    site.draw("averyveryverylongwordwithoutanyspaces" * 6)
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, site)
    tiles(page).first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Any, site: Site, scheme: str) -> None:
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core is not installed")
    site.draw("a red house")
    page.emulate_media(color_scheme=scheme)
    open_page(page, site)
    tiles(page).first.wait_for()
    violations = axe.Axe().run(page)["violations"]
    serious = [item["id"] for item in violations if item["impact"] in ("serious", "critical")]
    assert serious == []
