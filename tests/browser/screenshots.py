"""Pictures of the page, empty, busy and full, into ./screenshots: `python -m tests.browser.screenshots`.

With `--readme`: the README's picture, of the real programs and the demo model, into docs/.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from jobs.runner_status import RunnerState
from jobs.schema import JobError
from tests import programs
from tests.browser.conftest import CHROMIUM, FLAGS, Site
from tests.browser.stand_in import StandIn
from tests.programs import REPOSITORY, ApiProcess, wait_until

FOLDER = REPOSITORY / "screenshots"
README_PICTURE = REPOSITORY / "docs" / "page.webp"
SIZES = {"360": (360, 780), "768": (768, 1024), "1440": (1440, 900)}
SHAPES = [(256, 256), (256, 256), (384, 256), (256, 384), (448, 256)]
PROMPTS = [
    f"a {colour} {thing} at {time}"
    for time in ("dawn", "night")
    for thing in ("house", "boat")
    for colour in ("red", "blue", "green")
]
#: What the README shows; the last one is still being drawn.
README_PROMPTS = (
    "a green tree and a red boat at night",
    "a yellow house on a hill",
    "a white boat on the sea at sunset",
    "a blue house beside two trees",
    "a red house and a green tree at sunset",
    "a purple house under the moon",
    "a lighthouse by the sea",
)
#: At which step of 150 its picture is taken.
README_STEP = 60


def main() -> None:
    """Take all of them, or the README's one."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots")
    parser.add_argument("--readme", action="store_true", help="only the picture of the README")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        (for_readme if options.readme else for_review)(browser, Path(folder) / "data")
        browser.close()


def for_review(browser: Browser, data: Path) -> None:
    """Every state of the page in every size and both colour schemes; the stand-in draws."""
    FOLDER.mkdir(exist_ok=True)
    with programs.api(data) as api:
        site = Site(api, StandIn(data))
        site.worker.appear()
        shoot(browser, api, "empty")
        for number, prompt in enumerate(PROMPTS):
            width, height = SHAPES[number % len(SHAPES)]
            site.submit(prompt, width=width, height=height, num_images=(1, 4, 1, 2)[number % 4])
        site.worker.draw_pending()
        shoot(browser, api, "full", ".tile img.is-there")
        site.worker.appear(RunnerState.BUSY)
        failed = site.worker.begin(site.submit("a forest in the fog"))
        failed.fail(JobError(type="out_of_memory", message="Out of memory at 1024x1024; about 768x768 should fit."))
        held = site.worker.begin(site.submit("a lighthouse by the sea", num_images=2), step=9)
        site.worker.show(held)
        waiting = site.submit("a castle on a hill, seen through the branches of an old tree, in the evening light")
        mine = [failed.job.id, waiting]
        shoot(browser, api, "busy", ".tile.has-preview", mine=mine)
        image = api.get("/gallery").json()["images"][0]["id"]
        shoot(browser, api, "picture", "#viewer[open]", query=f"?image={image}")
        site.worker.finish(held)


def for_readme(browser: Browser, data: Path) -> None:
    """The page while the demo model draws."""
    with programs.api(data) as api, programs.runner(data):
        jobs = [submit(api, prompt) for prompt in README_PROMPTS[:-1]]
        for job_id in jobs:
            api.wait_for(job_id, "completed", timeout=1800)
        last = submit(api, README_PROMPTS[-1], num_images=2, num_inference_steps=150)
        wait_until(lambda: api.status(last)["progress"]["step"] > README_STEP, 1800, "a preview that is far on")
        page = opened(browser, api, (1280, 800), "light", ".tile.has-preview")
        page.wait_for_function(f"document.querySelectorAll('.tile img.is-there').length >= {len(jobs)}")
        page.wait_for_timeout(1000)  # until they have faded in
        picture = Image.open(io.BytesIO(page.screenshot()))
        picture.save(README_PICTURE, quality=85, method=6)


def submit(api: ApiProcess, prompt: str, **settings: object) -> str:
    """Post a job for the demo model; returns its id."""
    body = {"model_id": "demo", "prompt": prompt, "settings": {"seed": 7, **settings}}
    return str(api.post("/generate", json=body).json()["job_id"])


def shoot(
    browser: Browser, api: ApiProcess, name: str, shows: str = "#empty", query: str = "", mine: Sequence[str] = ()
) -> None:
    """The page in every size and both colour schemes, once it shows what is named."""
    for size, area in SIZES.items():
        for scheme in ("light", "dark"):
            page = opened(browser, api, area, scheme, shows, query, mine)
            page.screenshot(path=FOLDER / f"{name}-{size}-{scheme}.png")
            page.close()


def opened(
    browser: Browser,
    api: ApiProcess,
    area: tuple[int, int],
    scheme: Any,
    shows: str,
    query: str = "",
    mine: Sequence[str] = (),
) -> Any:
    """A page with its models and the pictures that are in sight; the jobs in `mine` were sent from it."""
    is_phone = area[0] < 720
    size: Any = {"width": area[0], "height": area[1]}
    page = browser.new_page(viewport=size, color_scheme=scheme, is_mobile=is_phone, has_touch=is_phone)
    page.add_init_script(f"localStorage.setItem('cyberimage.jobs', '{json.dumps(list(mine))}')")
    page.set_default_timeout(120_000)
    page.goto(f"{api.base}/{query}")
    wait_until(lambda: page.input_value("#model"), 120, "the models")
    page.wait_for_selector(shows)
    hidden = "!it.checkVisibility() || it.getBoundingClientRect().top > innerHeight"
    loaded = f"[...document.images].every((it) => it.complete || {hidden})"
    wait_until(lambda: page.evaluate(loaded), 120, "the pictures")
    return page


if __name__ == "__main__":
    main()
