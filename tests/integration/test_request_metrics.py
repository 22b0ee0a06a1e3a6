"""Figures of HTTP requests over several real workers, some of which are killed."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

from tests.programs import api, children_of, wait_until


def test_requests_are_counted_over_workers_and_their_ends(tmp_path: Path, catalog_file: Path) -> None:
    with api(tmp_path / "data", {"CYBERIMAGE_CATALOG": str(catalog_file)}, workers=2) as server:

        def counted() -> float:
            figures = server.client.get(f"{server.base}/metrics").text
            pattern = r'cyberimage_http_request_seconds_count\{method="GET",route="/api/queue",status="2xx"\} (\S+)'
            return float((re.findall(pattern, figures) or ["0"])[0])

        sent = 0
        for _ in range(3):
            for _ in range(20):
                assert server.get("/queue").status_code == 200
                sent += 1
            wait_until(lambda expected=sent: counted() == expected, about=f"{sent} requests to be counted")  # type: ignore[misc]
            victim = children_of(server.pid)[0]
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda gone=victim: gone not in children_of(server.pid), about="its end")  # type: ignore[misc]
            wait_until(lambda: len(children_of(server.pid)) == 2, about="its successor")
        (folder,) = wait_until(lambda: metric_folders(server.pid), about="a worker that counts")
        assert len(list(folder.glob("*.db"))) <= 2
        server.end()
        assert not folder.exists()


def metric_folders(pid: int) -> set[Path]:
    """The folders in which the workers of this server count."""
    found = set()
    for worker in children_of(pid):
        with suppress(FileNotFoundError):  # it opens and closes files meanwhile
            links = [link.readlink() for link in Path(f"/proc/{worker}/fd").iterdir()]
            found |= {
                link.parent for link in links if link.name.endswith(".lock") and "cyberimage-metrics-" in str(link)
            }
    return found
