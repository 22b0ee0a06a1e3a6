"""One picture over the whole window: looked at, compared, used again, kept or deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from http_api.access import digest_of
from jobs.schema import State
from tests import programs
from tests.browser.conftest import Site
from tests.browser.stand_in import StandIn
from tests.programs import wait_until

pytestmark = pytest.mark.browser

SHOWN = "document.querySelector('#viewer[open] #viewer-prompt')?.textContent"
#: Where a point of the picture (as shares of its sides) is on the screen.
POINT = """([x, y]) => {
    const picture = document.querySelector('#viewer-image');
    const box = picture.getBoundingClientRect();
    const scale = Math.min(box.width / picture.naturalWidth, box.height / picture.naturalHeight);
    const place = (start, side, share, natural) => start + side / 2 + (share - 0.5) * natural * scale;
    const { naturalWidth, naturalHeight } = picture;
    return [place(box.left, box.width, x, naturalWidth), place(box.top, box.height, y, naturalHeight)]; }"""


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """The one server of all tests, but where keys are needed."""
    if "key_may" not in request.node.name:
        yield request.getfixturevalue("shared_site")
        return
    keys = {"root": "admin", "maker": "read,submit"}
    lines = [f"{name} {scopes} {digest_of(f'{name}-key')}\n" for name, scopes in keys.items()]
    (tmp_path / "keys").write_text("".join(lines), encoding="utf-8")
    # With a proxy any host name will do.
    environment = {"CYBERIMAGE_API_KEYS": str(tmp_path / "keys"), "CYBERIMAGE_TRUSTED_PROXIES": "1"}
    with programs.api(tmp_path / "data", environment) as api:
        api.client.headers["Authorization"] = "Bearer root-key"
        yield Site(api, StandIn(tmp_path / "data"))


def open_picture(page: Any, site: Site, prompt: str) -> None:
    """Load the page and open the picture of a prompt."""
    page.goto(site.api.base)
    page.click(f"[aria-label='Open: {prompt}']")
    wait_for(page, prompt)


def wait_for(page: Any, prompt: str) -> None:
    """Wait until the viewer shows the picture of a prompt, wholly."""
    wait_until(lambda: page.evaluate(SHOWN) == prompt, about=f"the picture of {prompt}")
    wait_until(lambda: page.evaluate("!document.querySelector('.layer.loading')"), about="the whole picture")


def wait_until_closed(page: Any) -> None:
    """Wait until the viewer is closed, and the address says so."""
    page.wait_for_selector("#viewer:not([open])", state="attached")
    wait_until(lambda: page.evaluate("location.search") == "", about="the address without the picture")


def value_of(page: Any, name: str) -> float:
    """A variable of the stage's style."""
    return float(page.evaluate(f"parseFloat(document.querySelector('#viewer-stage').style.getPropertyValue('{name}'))"))


def focused(page: Any) -> str:
    """The accessible name of what has the keyboard."""
    return str(page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"))


def test_the_keyboard_alone_goes_through_the_viewer(page: Any, site: Site) -> None:
    site.draw("the first", "the second", "the third")
    page.goto(site.api.base)
    page.focus("[aria-label='Open: the third']")
    press = page.keyboard.press
    press("Enter")
    wait_for(page, "the third")  # the newest is the first of the gallery
    press("ArrowRight")
    wait_for(page, "the second")
    press("+")
    assert value_of(page, "--zoom") > 1
    press("+")
    press("ArrowRight")  # moves what is enlarged
    assert value_of(page, "--pan-x") < 0
    assert page.evaluate(SHOWN) == "the second"
    press("Escape")
    assert value_of(page, "--zoom") == 1
    press("i")
    assert not page.is_visible("#viewer-panel")
    press("i")
    press("c")
    page.wait_for_selector(".comparing #viewer-divider")
    wait_until(lambda: "the first" in page.inner_text("#viewer-other-name"), about="the other picture")
    press("ArrowRight")
    assert (focused(page).split(":")[0], value_of(page, "--divide")) == ("Divider", 55)
    press("PageUp")
    wait_until(lambda: "the third" in page.inner_text("#viewer-other-name"), about="another one, never itself")
    press("?")
    page.wait_for_selector("#keys[open] >> text=Real size")
    press("Escape")
    page.wait_for_selector("#keys:not([open])", state="attached")
    press("Escape")
    assert page.evaluate(SHOWN) == "the second"  # only the comparison ended
    for _ in range(40):
        press("Tab")
        assert page.evaluate(
            "document.querySelector('#viewer').contains(document.activeElement) || !document.hasFocus()"
            " || document.activeElement === document.body"
        )
    press("Escape")
    wait_until_closed(page)
    assert focused(page) == "Open: the second"


def test_zoom_pan_and_swipe(page: Any, site: Site) -> None:
    site.draw("the first", "the second")
    open_picture(page, site, "the second")
    page.keyboard.press("i")
    at = page.evaluate(POINT, [0.4, 0.6])
    page.mouse.move(*at)
    page.mouse.wheel(0, -800)
    wait_until(lambda: value_of(page, "--zoom") > 1.5, about="the larger picture")
    assert page.evaluate(POINT, [0.4, 0.6]) == pytest.approx(at, abs=5)  # what is under the pointer stays there
    page.mouse.down()
    page.mouse.move(at[0] + 5000, at[1])
    page.mouse.up()
    assert page.evaluate(POINT, [0, 0])[0] == pytest.approx(0, abs=1)  # no farther than its edge
    page.mouse.dblclick(*at)
    wait_until(lambda: value_of(page, "--zoom") == 1, about="the picture that fits")
    touch = page.context.new_cdp_session(page)

    def move(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    move("Start", (600, 450), (700, 450))
    move("Move", (550, 450), (750, 450))
    move("Move", (500, 450), (800, 450))
    move("End")
    wait_until(lambda: value_of(page, "--zoom") == pytest.approx(3, rel=0.1), about="three times the distance")
    page.keyboard.press("0")
    move("Start", (800, 450))
    move("Move", (700, 455))
    move("Move", (500, 460))
    move("End")
    wait_for(page, "the first")


def test_a_picture_is_used_again_and_nothing_is_sent(page: Any, site: Site) -> None:
    site.submit("a lighthouse", seed=77, width=256, height=384)
    site.worker.draw_pending()
    open_picture(page, site, "a lighthouse")
    page.keyboard.press("Escape")
    wait_until_closed(page)
    wait_until(lambda: page.input_value("#model"), about="the models")
    page.fill("#prompt", "half a th")
    for part, field, expected in (
        ("seed", "#seed", "77"),
        ("size", "#height", "384"),
        ("prompt", "#prompt", "a lighthouse"),
    ):
        page.click("[aria-label='Open: a lighthouse']")
        page.click(f"#viewer-use [value={part}]")
        wait_until_closed(page)
        assert page.input_value(field) == expected
        assert page.input_value("#prompt") == ("a lighthouse" if part == "prompt" else "half a th")
    page.click(".toast:last-child >> text=Undo")
    assert page.input_value("#prompt") == "half a th"
    assert list(site.worker.spool.ids(State.PENDING)) == []
    page.click("[aria-label='Open: a lighthouse']")
    wait_for(page, "a lighthouse")
    page.dblclick("#viewer-vary")
    page.wait_for_selector("text=4 variations are on their way.")
    [made] = site.worker.spool.ids(State.PENDING)
    job = site.worker.spool.find(made)[1]
    assert (job.prompt, job.effective_settings.num_images, job.effective_settings.width) == ("a lighthouse", 4, 256)
    assert job.effective_settings.seed != 77
    assert page.input_value("#prompt") == "half a th"


def test_the_address_of_a_picture(page: Any, site: Site) -> None:
    site.draw("the first", "the second")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.add_init_script("navigator.share = async (it) => { window.shared = it; }; navigator.canShare = () => true;")
    open_picture(page, site, "the second")
    page.keyboard.press("ArrowRight")
    wait_for(page, "the first")
    page.click("#viewer-share")
    wait_until(lambda: page.evaluate("window.shared?.files[0].type") == "image/png", about="the shared picture")
    page.click("#viewer-copy-link")
    page.wait_for_selector("text=The link is copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.evaluate("location.href")
    page.click("#viewer-copy-picture")
    page.wait_for_selector("text=The picture is copied.")
    assert page.evaluate("navigator.clipboard.read().then(([item]) => item.types)") == ["image/png"]
    page.reload()
    wait_for(page, "the first")
    page.go_back()
    wait_until_closed(page)  # one step, however many pictures were looked at
    page.go_forward()
    wait_for(page, "the first")
    page.keyboard.press("Escape")
    wait_until_closed(page)
    page.goto(link.replace("image=img", "image=nix"))
    page.wait_for_selector("text=This picture is gone, or never was.")


def test_favourite_labels_and_delete_with_undo(page: Any, site: Site) -> None:
    site.draw("the first", "the second")
    open_picture(page, site, "the second")
    image = page.evaluate("new URLSearchParams(location.search).get('image')")

    def known() -> Any:
        return site.api.get(f"/image/{image}/metadata").json()

    page.keyboard.press("f")
    wait_until(lambda: known()["favourite"], about="the favourite")
    page.keyboard.press("l")
    page.keyboard.type("sea")
    page.keyboard.press("Enter")
    wait_until(lambda: known()["labels"] == ["sea"], about="the label")
    page.click("[aria-label='Remove the label sea']")
    wait_until(lambda: known()["labels"] == [], about="no label")
    page.keyboard.press("Escape")
    page.keyboard.press("Delete")
    wait_for(page, "the first")  # takes its place
    page.click(".toast >> text=Undo")
    page.wait_for_selector("#viewer-previous[aria-disabled=false]")
    page.keyboard.press("ArrowLeft")
    wait_for(page, "the second")
    page.keyboard.press("Delete")
    wait_for(page, "the first")
    page.keyboard.press("Delete")
    wait_until_closed(page)
    page.goto("about:blank")  # who leaves does not wait for the end of the undo
    wait_until(lambda: site.api.get("/gallery").json()["total"] == 0, about="both deleted")


def test_what_a_key_may_not_do_is_not_offered_and_what_a_browser_may_not_neither(page: Any, site: Site) -> None:
    site.draw("a red house")
    page.goto(site.api.base.replace("127.0.0.1", "pictures.example"))  # plain http from elsewhere
    page.fill("#key-input", "maker-key")
    page.click("#key-form button[type=submit]")
    page.click("[aria-label='Open: a red house']")
    wait_for(page, "a red house")
    wait_until(lambda: not page.is_visible("#viewer-delete"), about="no Delete")
    page.keyboard.press("Delete")
    assert page.is_visible("#viewer-vary")
    assert not page.is_visible("#viewer-copy-picture")
    assert not page.evaluate("'serviceWorker' in navigator")
    page.click("#viewer-copy-link")
    page.wait_for_selector("text=The link is copied.")
    with page.expect_download() as download:
        page.keyboard.press("d")
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    assert page.evaluate(SHOWN) == "a red house"


def test_content_credentials_are_shown_where_there_are_some(page: Any, site: Site) -> None:
    site.draw("a red house")
    open_picture(page, site, "a red house")
    assert not page.is_visible("#viewer-credentials-section")

    signed = {"signed_by": "Our studio", "is_trusted": False, "actions": ["created", "resized"]}
    page.evaluate("async (it) => (await import('./static/viewer-facts.js')).showFacts({ credentials: it })", signed)
    assert page.is_visible("#viewer-credentials-section")
    assert page.inner_text("#viewer-credentials").split("\n") == [
        "Signed by", "Our studio", "Is trusted", "no", "Actions", "created, resized",
    ]  # fmt: skip


def test_axe_finds_nothing_in_the_viewer(page: Any, site: Site) -> None:
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core is not installed")
    site.draw("the first", "the second")
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    open_picture(page, site, "the second")
    assert axe.Axe().run(page, "#viewer")["violations"] == []
    page.keyboard.press("c")
    page.wait_for_selector(".comparing #viewer-divider")
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert axe.Axe().run(page, "#viewer")["violations"] == []
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    assert axe.Axe().run(page, "#keys")["violations"] == []
