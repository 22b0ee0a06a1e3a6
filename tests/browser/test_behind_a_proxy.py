"""The page behind a reverse proxy."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.schema import State
from tests.browser.conftest import Site
from tests.programs import wait_until
from tests.reverse_proxy import reverse_proxy

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("prefix", ["/ai", "/api/pictures"])
def test_the_page_works_below_a_path(page: Any, site: Site, prefix: str) -> None:
    site.draw("a red house")
    missing: list[str] = []
    page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    with reverse_proxy(site.api.base, prefix) as proxy:
        page.goto(f"{proxy}{prefix}/")
        wait_until(lambda: page.input_value("#model"), about="the models")
        page.wait_for_selector(".tile img")
        assert page.evaluate("getComputedStyle(document.querySelector('.tile img')).objectFit") == "cover"
        wait_until(lambda: page.evaluate("document.querySelector('.tile img').naturalWidth > 0"), about="the picture")
        page.fill("#prompt", "a blue boat")
        page.click("#submit")
        job_id = wait_until(lambda: next(iter(site.worker.spool.ids(State.PENDING)), None), about="the job")
        held = site.worker.begin(job_id, step=7)
        site.worker.show(held)
        page.wait_for_selector("text=Step 7 of 20")
        wait_until(
            lambda: page.evaluate("document.querySelector('.tile .preview').naturalWidth > 0"), about="a preview"
        )
        site.worker.finish(held)
        wait_until(lambda: page.locator(".tile[data-image]").count() == 2, about="the new picture")
        page.locator(".tile .open").first.click()
        page.wait_for_selector("#viewer[open]")
        page.reload()
        page.wait_for_selector("#viewer[open]")
        for docs in ("docs", "docs/"):
            page.goto(f"{proxy}{prefix}/{docs}")
            page.wait_for_selector("#operations details")
            assert f"curl {proxy}{prefix}/api/models" in page.text_content("#operations")
        page.click("text=The page")
        wait_until(lambda: page.input_value("#model"), about="the models")
    assert [url for url in missing if not url.endswith("/health/ready")] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"Host": "pictures.example"},
        {"Host": "127.0.0.1:5050", "X-Forwarded-Host": "pictures.example"},
    ],
)
@pytest.mark.parametrize("environment", [{"CYBERIMAGE_TRUSTED_PROXIES": "1"}])
def test_the_page_may_write_where_the_proxy_drops_the_port(page: Any, site: Site, fields: dict[str, str]) -> None:
    with reverse_proxy(site.api.base, "", fields) as proxy:
        page.goto(
            proxy.replace("127.0.0.1", "pictures.example")
        )  # no secure context: only Origin tells whose page it is
        wait_until(lambda: page.input_value("#model"), about="the models")
        page.fill("#prompt", "a blue boat")
        page.click("#submit")
        wait_until(lambda: next(iter(site.worker.spool.ids(State.PENDING)), None), about="the job")


def test_another_site_cannot_embed_a_picture(page: Any, site: Site) -> None:
    site.draw("a red house")
    image = site.api.get("/gallery").json()["images"][0]["id"]
    with reverse_proxy(site.api.base) as other:

        def shows(base: str) -> bool:
            load = """address => new Promise(resolve => {
              const image = new Image();
              image.onload = () => resolve(true);
              image.onerror = () => resolve(false);
              image.src = address;
            })"""
            return bool(page.evaluate(load, f"{base}/api/image/{image}/thumbnail"))

        page.goto(f"{other}/health/live")  # a document without a policy of its own
        assert shows(other)
        assert not shows(site.api.base.replace("127.0.0.1", "localhost"))
