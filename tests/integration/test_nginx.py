"""deploy/nginx.conf in a real nginx, at the root and below a path."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import REPOSITORY
from tests.programs import api, free_port, wait_until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
BODY = {"model_id": "tiny", "prompt": "a castle"}

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


def configured(folder: Path, port: int, upstream: str) -> Path:
    """The shipped example with the ports of the test, and with its location below a path."""
    site = (REPOSITORY / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    site = site.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:5050", upstream)
    below = re.compile(r"^    # (location /ai/ {|    proxy_.*|})$", re.MULTILINE)
    (folder / "site.conf").write_text(below.sub(r"    \1", site), encoding="utf-8")
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in names)
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary} include {folder}/site.conf; }}\n",
        encoding="utf-8",
    )
    return main


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, catalog_file: Path) -> Iterator[str]:
    """The base URL of nginx before an API."""
    folder = tmp_path_factory.mktemp("nginx")
    settings = {"CYBERIMAGE_CATALOG": str(catalog_file), "CYBERIMAGE_TRUSTED_PROXIES": "1"}
    port = free_port()
    with api(folder / "data", settings) as server:
        yield from _running(configured(folder, port, server.base.removeprefix("http://")), port)


def _running(main: Path, port: int) -> Iterator[str]:
    base = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{base}/health/live").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    assert NGINX is not None
    with subprocess.Popen([NGINX, "-c", str(main), "-p", str(main.parent)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(answers, about="an answer through nginx")
            yield base
        finally:
            process.terminate()


@pytest.mark.parametrize("prefix", ["", "/ai"])
def test_the_example_passes_on_what_the_api_must_know(proxy: str, prefix: str) -> None:
    host = "pictures.example:8080"
    with httpx.Client(base_url=f"{proxy}{prefix}", headers={"Host": host, "Origin": f"http://{host}"}) as client:
        answer = client.post("/api/generate", json=BODY)
        assert answer.status_code == 200, answer.text
        job_id = answer.json()["job_id"]
        assert answer.headers["location"] == f"{prefix}/api/status/{job_id}"
        assert client.get("/static/app.js").status_code == 200
        assert client.get("/api/gallery", params={"search": "\u6f22" * 1000}).status_code == 200
        with client.stream("GET", f"/api/jobs/{job_id}/events") as stream:
            assert any('"status":"pending"' in line for line in stream.iter_lines())
        assert client.post("/api/reset_queue", headers={"Origin": "http://evil.example"}).status_code == 403
