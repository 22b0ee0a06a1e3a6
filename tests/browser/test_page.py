"""The page as a person uses it: say something, watch it come, look at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.schema import State
from tests.browser.conftest import Site
from tests.programs import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def site(shared_site: Site) -> Site:
    """No test here needs a server of its own."""
    return shared_site


def open_page(page: Any, site: Site, query: str = "") -> None:
    """Load the page and wait until its models and its pictures are there."""
    page.goto(f"{site.api.base}/{query}")
    wait_until(lambda: page.input_value("#model"), about="the models")
    page.wait_for_selector("#empty:not([hidden]), #gallery .tile")


def tiles(page: Any) -> Any:
    """The pictures of the gallery."""
    return page.locator(".tile[data-image]")


def wait_for_tiles(page: Any, number: int) -> None:
    """Wait until the gallery shows so many pictures."""
    wait_until(lambda: tiles(page).count() == number, about=f"{number} pictures")


def make(page: Any, prompt: str) -> None:
    """Write a prompt and press Make."""
    page.fill("#prompt", prompt)
    page.click("#submit")


def pending(site: Site) -> list[str]:
    """The ids of the jobs that wait."""
    return list(site.worker.spool.ids(State.PENDING))


def test_a_prompt_becomes_pictures_in_place(page: Any, site: Site) -> None:
    open_page(page, site)
    page.check("#counts [value='2']", force=True)
    make(page, "a red house")
    placeholder = page.locator(".tile.coming").first
    placeholder.wait_for()
    assert page.locator(".tile.coming").count() == 2
    page.evaluate("document.querySelector('.tile.coming').isTheSame = true")
    held = site.worker.begin(site.waiting(), step=7)
    page.wait_for_selector("text=Step 7 of 20")
    assert not page.is_visible(".tile .preview")
    site.worker.show(held)
    page.wait_for_selector(".tile .preview")
    site.worker.commit(held, 1)
    page.wait_for_selector(".tile.picture")
    assert page.evaluate("document.querySelector('.tile.picture').isTheSame")
    assert page.locator(".tile.coming").count() == 1
    site.worker.finish(held)
    wait_for_tiles(page, 2)
    page.wait_for_selector(".tile.coming", state="detached")
    assert tiles(page).first.get_by_role("button", name="Open: a red house").is_visible()


def test_an_empty_page_offers_words_to_begin_with(page: Any, site: Site) -> None:
    open_page(page, site)
    example = page.locator("#examples button").first
    words = example.inner_text()
    example.click()
    assert page.input_value("#prompt") == words
    page.keyboard.press("Enter")  # the button that makes the picture has the focus
    page.wait_for_selector(".tile.coming")
    assert not page.is_visible("#empty")


def test_a_double_click_makes_one_job_and_another_press_another(page: Any, site: Site) -> None:
    open_page(page, site)
    page.fill("#prompt", "a red house")
    page.dblclick("#submit")
    wait_until(lambda: pending(site), about="the job")
    page.fill("#prompt", "a blue house")
    page.click("#submit")
    wait_until(lambda: len(pending(site)) == 2, about="another job")
    page.wait_for_timeout(300)
    assert sorted(site.worker.spool.find(job)[1].prompt for job in pending(site)) == ["a blue house", "a red house"]


def test_a_press_that_is_not_heard_is_sent_again_as_the_same_press(page: Any, site: Site) -> None:
    open_page(page, site)
    presses: list[str] = []

    def lose(route: Any) -> None:
        presses.append(route.request.headers["idempotency-key"])
        if len(presses) == 1:
            route.fetch()  # the server hears it; its answer is lost
            route.abort()
        else:
            route.continue_()

    page.route("**/api/generate", lose)
    make(page, "a red house")
    page.wait_for_selector("text=Not sent yet")
    page.wait_for_selector("text=Not sent yet", state="detached")
    assert len(presses) == 2
    assert presses[0] == presses[1]
    assert len(pending(site)) == 1


@pytest.mark.parametrize(
    ("field", "value", "said", "remedies"),
    [
        ("width", "300", "Width must be a multiple of 64:", ["256", "320"]),
        ("height", "4000", "Height must be from 256 to 1024:", ["1024"]),
        ("num_inference_steps", "many", "Steps must be a number from 1 to 150:", ["20"]),
        ("seed", "12a", "The seed must be a whole number, or empty:", ["12", "random"]),
    ],
)
def test_an_error_stands_under_its_field_with_what_would_be_right(
    page: Any, site: Site, field: str, value: str, said: str, remedies: list[str]
) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    open_page(page, site)
    page.click("#drawer-open")
    page.fill(f"#{field}", value)
    page.fill("#prompt", "a house")
    page.click("#submit")
    error = page.locator(f"#{field}-error")
    error.wait_for()
    assert error.inner_text().startswith(said)
    assert error.locator("button").all_inner_texts() == remedies
    assert f"{field}-error" in page.get_attribute(f"#{field}", "aria-describedby")
    assert page.get_attribute(f"#{field}", "aria-invalid") == "true"
    assert page.evaluate("document.activeElement.id") == field
    place, under = page.locator(f"#{field}").bounding_box(), error.bounding_box()
    assert place["y"] < under["y"] < place["y"] + place["height"] + 12
    assert under["y"] + under["height"] <= 900
    error.locator("button").last.click()
    assert not error.is_visible()
    page.click("#submit")
    wait_until(lambda: pending(site), about="the job")


def test_what_the_server_refuses_is_said_at_the_field(page: Any, site: Site) -> None:
    open_page(page, site)
    page.click("#submit")
    page.wait_for_selector("#prompt-error:not([hidden])")
    make(page, "house " * 200)
    page.wait_for_selector("#prompt-error >> text=500")
    assert page.locator(".tile").count() == 0
    assert page.input_value("#prompt").startswith("house")


def test_the_shapes_are_sizes_of_the_model(page: Any, site: Site) -> None:
    open_page(page, site)
    page.check("#shapes [value='9:16']", force=True)
    make(page, "a tower")
    settings = site.worker.spool.find(site.waiting())[1].effective_settings
    assert (settings.width, settings.height) == (256, 448)
    box = page.locator(".tile.coming").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(256 / 448, rel=0.02)


def test_styled_words_are_shown_before_they_are_used(page: Any, site: Site) -> None:
    open_page(page, site)
    page.click("#styles [value='fantasy']")
    page.wait_for_selector("#prompt-error >> text=First say")
    page.fill("#prompt", "a castle on a hill")
    page.click("#styles [value='fantasy']")
    page.wait_for_selector("#proposal:not([hidden])")
    assert page.input_value("#prompt") == "a castle on a hill"
    proposed = page.inner_text("#proposal-text")
    page.click("#proposal-use")
    assert page.input_value("#prompt") == proposed
    page.click("text=Back to mine")
    assert page.input_value("#prompt") == "a castle on a hill"


def test_what_was_typed_survives_and_is_seen_in_other_tabs(page: Any, site: Site, new_page: Callable[..., Any]) -> None:
    open_page(page, site)
    page.click("#drawer-open")
    page.fill("#prompt", "a half-typed thou")
    page.fill("#seed", "77")
    page.check("#counts [value='4']", force=True)
    page.check("#shapes [value='3:2']", force=True)
    page.reload()
    wait_until(lambda: page.input_value("#model"), about="the models")
    other = new_page(page.context)
    open_page(other, site)
    for tab in (page, other):
        assert (tab.input_value("#prompt"), tab.input_value("#seed")) == ("a half-typed thou", "77")
        assert tab.input_value("#width") == "384"
        assert tab.is_checked("#counts [value='4']")
        assert tab.is_checked("#shapes [value='3:2']")


def test_arrow_up_brings_the_prompts_of_before(page: Any, site: Site) -> None:
    open_page(page, site)
    for prompt in ("a red house", "a blue boat"):
        make(page, prompt)
        page.wait_for_selector(f".tile >> text={prompt}")
    page.fill("#prompt", "")
    page.focus("#prompt")
    page.keyboard.press("ArrowUp")
    assert page.input_value("#prompt") == "a blue boat"
    page.keyboard.press("ArrowUp")
    assert page.input_value("#prompt") == "a red house"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.input_value("#prompt") == ""


def test_a_picture_can_be_looked_at_and_used_again(page: Any, site: Site) -> None:
    site.submit("a lighthouse", seed=77)
    site.worker.draw_pending()
    open_page(page, site)
    page.fill("#prompt", "my half-typed thought")
    tiles(page).first.locator(".open").click()
    page.wait_for_selector("#viewer[open]")
    assert "image=img_" in page.url
    page.click("#viewer-use >> text=All")
    page.wait_for_selector("#viewer:not([open])", state="attached")
    assert (page.input_value("#prompt"), page.input_value("#seed")) == ("a lighthouse", "77")
    assert pending(site) == []
    page.click(".toast >> text=Undo")
    assert (page.input_value("#prompt"), page.input_value("#seed")) == ("my half-typed thought", "")


def test_prompts_are_text_and_never_markup(page: Any, site: Site) -> None:
    site.draw("<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>")
    open_page(page, site)
    assert "<script>" in tiles(page).first.locator(".words").text_content()
    assert page.title() == "CyberImage"


def test_arabic_and_hebrew_run_from_right_to_left(page: Any, site: Site) -> None:
    site.draw("قلعة على تل عند الغروب")
    open_page(page, site)
    page.fill("#prompt", "בית אדום ליד הים")
    for selector in ("#prompt", ".tile .words span"):
        assert page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).direction") == "rtl"


def test_the_colours_follow_the_system_again(page: Any, site: Site) -> None:
    page.emulate_media(color_scheme="dark")
    open_page(page, site)

    def paper() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = paper()
    page.click("#menu-open")
    page.check("#themes [value='light']", force=True)
    light = paper()
    page.reload()
    assert paper() == light != dark
    page.click("#menu-open")
    page.check("#themes [value='']", force=True)
    assert paper() == dark


def test_the_keyboard_is_enough(page: Any, site: Site) -> None:
    site.draw("a blue tree", "a red tree")
    open_page(page, site)
    wait_for_tiles(page, 2)
    page.keyboard.press("n")
    page.keyboard.type("a house by keyboard")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".tile.coming")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "submit"
    tiles(page).first.locator(".open").focus()
    page.keyboard.press("ArrowRight")
    focused = "document.activeElement.closest('.tile').querySelector('.words').textContent"
    assert page.evaluate(focused) == "a blue tree"
    page.keyboard.press("x")
    page.wait_for_selector("#selection >> text=1 chosen")
    page.keyboard.press("Escape")
    page.wait_for_selector("#selection", state="hidden")
    page.keyboard.press("Enter")
    page.wait_for_selector("#viewer[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer:not([open])", state="attached")
    wait_until(lambda: page.evaluate(focused) == "a blue tree", about="the focus")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
