"""A real Chromium before the real API; the tests skip themselves where either Playwright or Chromium is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.schema import State
from tests import programs
from tests.browser.stand_in import StandIn
from tests.programs import ApiProcess, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
    "--no-first-run",
]
PATIENCE = 60_000  # ms; generous, since the machine may be busy


@dataclass
class Site:
    """The page's server, its data, and who plays the worker."""

    api: ApiProcess
    worker: StandIn
    problems: list[str] = field(default_factory=list)

    def submit(self, prompt: str, **settings: object) -> str:
        """Post a job; returns its id."""
        body = {"model_id": "demo", "prompt": prompt, "settings": settings}
        return str(self.api.post("/generate", json=body).json()["job_id"])

    def draw(self, *prompts: str) -> None:
        """Have finished pictures of these prompts."""
        for prompt in prompts:
            self.submit(prompt)
        self.worker.draw_pending()

    def waiting(self) -> str:
        """The id of the job that waits; there must be one soon."""
        return wait_until(lambda: next(iter(self.worker.spool.ids(State.PENDING)), None), about="the job")

    def clear(self) -> None:
        """Be as good as new: no job that is active, no pictures."""
        self.api.post("/queue/resume")
        for state in (State.PENDING, State.PROCESSING):
            for job_id in self.worker.spool.ids(state):
                self.api.post(f"/jobs/{job_id}/cancel")
        self.worker.let_go()
        while ids := [image["id"] for image in self.api.get("/gallery", params={"limit": 50}).json()["images"]]:
            self.api.post("/images/delete", json={"ids": ids})


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests."""
    playwright_module = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    with playwright_module.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def environment() -> dict[str, str]:
    """Settings of the API; a module may have its own."""
    return {}


@pytest.fixture
def site(browser: Any, tmp_path: Path, environment: dict[str, str]) -> Iterator[Site]:
    """An API on an empty data directory."""
    data = tmp_path / "data"
    with programs.api(data, environment) as api:
        yield Site(api, StandIn(data))


@pytest.fixture(scope="session")
def _one_site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("shared") / "data"
    with programs.api(data) as api:
        yield Site(api, StandIn(data))


@pytest.fixture
def shared_site(_one_site: Site) -> Iterator[Site]:
    """The one API of the tests that need none of their own: no active jobs, no pictures, a runner that is idle."""
    _one_site.problems.clear()
    _one_site.worker.appear()
    yield _one_site
    _one_site.worker.vanish()
    _one_site.clear()


@pytest.fixture
def new_page(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Makes pages, each like another visitor's; a console error or a broken policy fails the test."""
    contexts = []

    def make(context: Any = None, **options: Any) -> Any:
        if context is None:
            context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: site.problems.append(str(error)))
        page.on("console", lambda message: site.problems.append(message.text) if message.type == "error" else None)
        return page

    yield make
    for context in contexts:
        context.close()
    assert [problem for problem in site.problems if "Failed to load resource" not in problem] == []


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    """A page of a visitor who was never here."""
    return new_page()
