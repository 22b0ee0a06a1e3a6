"""Goal 13: what many clients that read do to one that submits."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import load, servers
from bench.context import Context
from bench.results import Row, at_most
from core.layout import Layout
from jobs.schema import State
from jobs.spool import Spool

_SEARCHERS: Final = 40
#: Each search is another one, so that no total is known: a word of two letters, and one of three.
_SEARCHES: Final = """
math.randomseed(7)
local letters = "abcdefghijklmnopqrstuvwxyz"
local function letter()
    local place = math.random(26)
    return letters:sub(place, place)
end
request = function()
    local search = letter() .. letter() .. "+" .. letter() .. letter() .. letter()
    return wrk.format("GET", "/api/gallery?search=" .. search)
end
"""


def submitting_while_searching(context: Context) -> list[Row]:
    """Idle and under load in turn, in one run, so that other programs on the machine disturb both alike."""
    if not shutil.which("wrk"):
        raise RuntimeError("wrk is not installed")
    data = context.data(context.size)
    idle, busy = [], []
    try:
        with servers.api(data) as server:
            for _ in range(context.rounds):
                idle.append(_submit(server, context))
                with _searching(server):
                    busy.append(_submit(server, context))
    finally:
        _remove_pending(data)
    alone, among = load.middle(idle), load.middle(busy)
    what = (
        f"POST /generate p50 with {_SEARCHERS} clients searching {context.size} jobs ({among.p50:.3g} ms) "
        f"against idle ({alone.p50:.3g} ms)"
    )
    return [at_most("13", what, among.p50 / alone.p50, 2.0, "x", idle=vars(alone), busy=vars(among))]


def _submit(server: servers.Server, context: Context) -> load.Load:
    return load.run(f"{server.base}/api/generate", seconds=2 * context.seconds, post=True)


@contextmanager
def _searching(server: servers.Server) -> Iterator[None]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SEARCHES)
        script.flush()
        command = ["wrk", "-t1", f"-c{_SEARCHERS}", "-d600s", "--timeout", "60s", "-s", script.name, server.base]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)  # until all of them are under way
            yield
        finally:
            process.terminate()
            process.wait()


def _remove_pending(data: Path) -> None:
    """The data directory is used again, and its jobs are counted."""
    spool = Spool(Layout(data))
    for job_id in list(spool.ids(State.PENDING)):
        spool.path(State.PENDING, job_id).unlink()
