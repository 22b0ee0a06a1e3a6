"""Load on a server over kept-alive connections, by `wrk` where it is installed, else by our own threads."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

_UNITS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}
_BODY: Final = '{"model_id": "demo", "prompt": "a castle on a hill at sunset, golden light"}'


@dataclass(frozen=True)
class Load:
    """What came out: requests per second, latencies in ms, and answers that were not 2xx."""

    rate: float
    p50: float
    p99: float
    errors: int


def run(url: str, *, connections: int = 1, seconds: float = 2.0, post: bool = False) -> Load:
    """Put load on `url` for some seconds."""
    if shutil.which("wrk"):
        return _wrk(url, connections, seconds, post)
    return _threads(url, connections, seconds, post)


def middle(loads: list[Load]) -> Load:
    """The median of several runs, figure by figure; errors are added."""
    return Load(
        median(load.rate for load in loads),
        median(load.p50 for load in loads),
        median(load.p99 for load in loads),
        sum(load.errors for load in loads),
    )


def _wrk(url: str, connections: int, seconds: float, post: bool) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if post:
            script.write(f"wrk.method = 'POST'\nwrk.body = '{_BODY}'\n")
            script.write("wrk.headers['Content-Type'] = 'application/json'\n")
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            "-s",
            script.name,
            url,
        ]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Load(
        float(_find(r"Requests/sec:\s+([\d.]+)", output)),
        _milliseconds(_find(r"(?m)^\s+50%\s+(\S+)\s*$", output)),
        _milliseconds(_find(r"(?m)^\s+99%\s+(\S+)\s*$", output)),
        int(_find(r"Non-2xx or 3xx responses: (\d+)", output, "0")),
    )


def _find(pattern: str, text: str, default: str | None = None) -> str:
    match = re.search(pattern, text)
    if match is None and default is None:
        raise RuntimeError(f"wrk answered something unexpected:\n{text}")
    return match[1] if match else str(default)


def _milliseconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if match is None:
        raise RuntimeError(f"wrk gave the time {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def _threads(url: str, connections: int, seconds: float, post: bool) -> Load:
    times: list[float] = []
    errors: list[int] = []
    until = time.perf_counter() + seconds
    threads = [threading.Thread(target=_client, args=(url, post, until, times, errors)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    return Load(len(times) / seconds, times[len(times) // 2], times[len(times) * 99 // 100], len(errors))


def _client(url: str, post: bool, until: float, times: list[float], errors: list[int]) -> None:
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    while (began := time.perf_counter()) < until:
        if post:
            connection.request("POST", path, _BODY, {"Content-Type": "application/json"})
        else:
            connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        times.append((time.perf_counter() - began) * 1000)
        if answer.status >= http.client.BAD_REQUEST:
            errors.append(answer.status)
    connection.close()


def body_file(folder: Path) -> Path:
    """The body of a request, as a dropped file would hold it."""
    path = folder / "body.json"
    path.write_text(_BODY, encoding="utf-8")
    return path
