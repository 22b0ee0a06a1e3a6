"""The gallery: found again, kept, thrown away, many at once."""

from __future__ import annotations

import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Site
from tests.browser.test_page import open_page, tiles, wait_for_tiles
from tests.programs import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def site(shared_site: Site) -> Site:
    """No test here needs a server of its own."""
    return shared_site


def choose(page: Any, *prompts: str) -> None:
    """Set the marks of the pictures of these prompts."""
    for prompt in prompts:
        page.get_by_role("checkbox", name=f"Choose: {prompt}").check()


def images(site: Site, **query: str) -> list[dict[str, Any]]:
    """What the server lists."""
    return list(site.api.get("/gallery", params=query).json()["images"])


def test_search_lives_in_the_address_as_one_step(page: Any, site: Site) -> None:
    site.draw("a red house", "a blue boat", "a red boat")
    open_page(page, site)
    wait_for_tiles(page, 3)
    page.locator("#search").press_sequentially("red boat", delay=60)
    wait_for_tiles(page, 1)
    page.locator("#search").press_sequentially("s", delay=400)
    page.wait_for_selector("text=Nothing found")
    page.keyboard.press("Backspace")
    wait_for_tiles(page, 1)
    assert page.url.endswith("?search=red+boat")
    page.reload()
    wait_for_tiles(page, 1)
    assert page.input_value("#search") == "red boat"
    page.go_back()
    wait_for_tiles(page, 3)
    assert page.input_value("#search") == ""


def test_favourites_labels_and_the_sort_are_filters(page: Any, site: Site) -> None:
    site.draw("a red house", "a blue boat", "a green tree")
    open_page(page, site)
    choose(page, "a red house", "a blue boat")
    page.click("#selection-favourite")
    wait_until(lambda: len(images(site, favourite="true")) == 2, about="the favourites")
    page.click("#selection-label")
    page.fill("#label-input", "for the wall")
    page.keyboard.press("Enter")
    wait_until(lambda: len(images(site, label="for the wall")) == 2, about="the labels")
    page.keyboard.press("Escape")
    page.wait_for_selector("#selection", state="hidden")
    page.check("#favourite-filter", force=True)
    wait_for_tiles(page, 2)
    page.select_option("#sort", "oldest")
    wait_until(lambda: "sort=oldest" in page.url, about="the address")
    wait_until(lambda: tiles(page).first.locator(".words").text_content() == "a red house", about="the oldest")
    page.reload()
    wait_for_tiles(page, 2)
    assert page.is_checked("#favourite-filter")
    tiles(page).first.locator(".open").focus()
    page.keyboard.press("f")
    wait_until(lambda: len(images(site, favourite="true")) == 1, about="one favourite less")
    page.goto(f"{site.api.base}/?label=for+the+wall")
    wait_for_tiles(page, 2)
    assert page.input_value("#label-filter") == "for the wall"


def test_many_are_chosen_and_downloaded_in_one_file(page: Any, site: Site, tmp_path: Path) -> None:
    site.draw(*(f"picture {number}" for number in range(5)))
    open_page(page, site)
    wait_for_tiles(page, 5)
    choose(page, "picture 4")
    page.get_by_role("checkbox", name="Choose: picture 1").click(modifiers=["Shift"])
    page.wait_for_selector("#selection >> text=4 chosen")
    tiles(page).last.locator(".open").click()
    page.wait_for_selector("#selection >> text=5 chosen")
    with page.expect_download() as download:
        page.click("#selection-zip")
    download.value.save_as(tmp_path / "pictures.zip")
    with zipfile.ZipFile(tmp_path / "pictures.zip") as archive:
        assert len(archive.namelist()) == 5
        assert archive.read(archive.namelist()[0]).startswith(b"\x89PNG")


def test_a_deletion_can_be_taken_back_and_is_done_when_the_page_is_left(page: Any, site: Site) -> None:
    site.draw("a red house", "a blue boat", "a green tree")
    open_page(page, site)
    choose(page, "a red house", "a blue boat")
    page.click("#selection-delete")
    wait_for_tiles(page, 1)
    page.click(".toast >> text=Undo")
    wait_for_tiles(page, 3)
    assert len(images(site)) == 3
    tiles(page).first.locator(".open").focus()
    page.keyboard.press("Delete")
    wait_for_tiles(page, 2)
    assert len(images(site)) == 3
    page.goto("about:blank")
    wait_until(lambda: len(images(site)) == 2, about="the deletion")


def test_a_long_touch_begins_to_choose(new_page: Any, site: Site) -> None:
    site.draw("a red house", "a blue boat")
    page = new_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True)
    open_page(page, site)
    wait_for_tiles(page, 2)
    box = tiles(page).first.bounding_box()
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    chrome = page.context.new_cdp_session(page)
    chrome.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    page.wait_for_selector("#selection >> text=1 chosen")
    chrome.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tiles(page).last.locator(".open").tap()
    page.wait_for_selector("#selection >> text=2 chosen")
    assert not page.is_visible("#viewer")


def test_rows_are_justified_and_the_pictures_of_a_job_lie_together(page: Any, site: Site) -> None:
    for number, (width, height) in enumerate([(256, 256), (448, 256), (256, 384), (384, 256)] * 3):
        site.submit(f"picture {number}", width=width, height=height, num_images=1 + number % 3)
    site.worker.draw_pending()
    open_page(page, site)
    wait_for_tiles(page, 24)
    boxes = page.evaluate("""[...document.querySelectorAll('.tile')].map((tile) => {
      const { x, y, width, height } = tile.getBoundingClientRect();
      return { x, y, width, height, words: tile.querySelector('.words').textContent }; })""")
    wall = page.locator("#gallery").bounding_box()
    shapes = {0: 1, 1: 448 / 256, 2: 256 / 384, 3: 384 / 256}
    rows: dict[float, list[dict[str, Any]]] = {}
    for box in boxes:
        rows.setdefault(box["y"], []).append(box)
        number = int(box["words"].split()[1])
        assert box["width"] / box["height"] == pytest.approx(shapes[number % 4], rel=0.03)
    for row in list(rows.values())[:-1]:
        assert row[-1]["x"] + row[-1]["width"] == pytest.approx(wall["x"] + wall["width"], abs=1)
    for one, other in pairwise(boxes):
        if one["y"] == other["y"]:
            gap = other["x"] - one["x"] - one["width"]
            assert gap == pytest.approx(3 if one["words"] == other["words"] else 12, abs=1.5)
    order = [box["words"] for box in boxes]
    assert sorted(range(24), key=lambda at: order.index(order[at])) == list(range(24))


def test_a_picture_from_elsewhere_comes_and_goes_by_itself(page: Any, site: Site) -> None:
    site.draw("a red house")
    open_page(page, site)
    wait_for_tiles(page, 1)
    site.draw("a blue boat")
    wait_for_tiles(page, 2)
    assert tiles(page).first.locator(".words").text_content() == "a blue boat"
    site.api.post("/images/delete", json={"ids": [images(site)[1]["id"]]})
    wait_for_tiles(page, 1)
