"""Pages of other web sites: one that the operator has named, and one that nobody has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from jobs.schema import State
from tests.browser.conftest import Site
from tests.programs import wait_until

pytestmark = pytest.mark.browser

NAMED, OTHER = "chat.example", "evil.example"
#: Calls an address with headers that need a preflight; "refused" where the browser lets the page see nothing.
CALL = """async ([method, address, body]) => {
  const headers = {'Content-Type': 'application/json', 'Authorization': 'Bearer none', 'X-Stainless-Lang': 'js'};
  try {
    const answer = await fetch(address, {method, headers, body: body && JSON.stringify(body)});
    return {status: answer.status, id: answer.headers.get('X-Request-Id'), json: await answer.json()};
  } catch (error) { return 'refused'; }
}"""
#: The last event of a stream.
FOLLOW = """address => new Promise(resolve => {
  const source = new EventSource(address);
  source.addEventListener('end', () => { source.close(); resolve('end'); });
  source.onerror = () => { source.close(); resolve('refused'); };
})"""


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another site</title>")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def other_site() -> Iterator[int]:
    """A web site of somebody else; returns its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def environment(other_site: int) -> dict[str, str]:
    return {"CYBERIMAGE_ALLOWED_ORIGINS": f"http://{NAMED}:{other_site}"}


@pytest.fixture
def visit(browser: Any, other_site: int) -> Iterator[Any]:
    """Open a page of the other site under a name."""
    context = browser.new_context()

    def opened(name: str) -> Any:
        page = context.new_page()
        page.goto(f"http://{name}:{other_site}/")
        return page

    yield opened
    context.close()


def test_a_page_of_a_named_origin_draws_by_every_door_and_follows_a_job(site: Site, visit: Any) -> None:
    page, base = visit(NAMED), site.api.base
    assert page.evaluate(CALL, ["GET", f"{base}/api/models", None])["json"]["default"]
    missing = page.evaluate(CALL, ["GET", f"{base}/v1/models/nowhere", None])
    assert (missing["status"], missing["json"]["error"]["code"]) == (404, "model_not_found")
    assert missing["id"]
    body = {"model_id": "demo", "prompt": "a castle"}
    job_id = page.evaluate(CALL, ["POST", f"{base}/api/generate", body])["json"]["job_id"]
    site.worker.draw_pending()
    assert page.evaluate(FOLLOW, f"{base}/api/jobs/{job_id}/events") == "end"
    for path, found in (("/v1/images/generations", "data"), ("/sdapi/v1/txt2img", "images")):
        page.evaluate(f"call => {{ window.answer = ({CALL})(call); }}", ["POST", base + path, {"prompt": "a castle"}])
        wait_until(lambda: next(iter(site.worker.spool.ids(State.PENDING)), None), about="the job")
        site.worker.draw_pending()
        assert len(page.evaluate("window.answer")["json"][found]) == 1


def test_a_page_of_another_origin_sees_and_makes_nothing(site: Site, visit: Any) -> None:
    page, base = visit(OTHER), site.api.base
    job_id = site.submit("a castle")
    site.worker.draw_pending()
    assert page.evaluate(CALL, ["GET", f"{base}/api/models", None]) == "refused"
    assert page.evaluate(FOLLOW, f"{base}/api/jobs/{job_id}/events") == "refused"
    for path in ("/api/generate", "/v1/images/generations", "/sdapi/v1/txt2img"):
        assert page.evaluate(CALL, ["POST", base + path, {"model_id": "demo", "prompt": "a castle"}]) == "refused"
    blind = """address => fetch(address, {method: 'POST', mode: 'no-cors', body: '{"prompt": "x"}'})
        .then(answer => answer.type, () => 'refused')"""  # without a preflight
    assert page.evaluate(blind, f"{base}/v1/images/generations") == "refused"
    assert not list(site.worker.spool.ids(State.PENDING))
