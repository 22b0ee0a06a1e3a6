"""Goals 1 to 6, 11 and 12: what a client of the API sees. Partners are measured in turn with ours."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench import load, servers
from bench.context import Context
from bench.generate_data import COMMON_WORD, RARE_WORD
from bench.load import Load
from bench.results import Row, at_least, at_most
from core.layout import Layout
from jobs.schema import State
from jobs.spool import Spool
from tests.indexes import image_index

Measure = Callable[[], Load]


def in_turn(context: Context, *measures: Measure) -> list[Load]:
    """Each measured several times, one after the other in each round; medians."""
    rounds = [[measure() for measure in measures] for _ in range(context.rounds)]
    return [load.middle([found[place] for found in rounds]) for place in range(len(measures))]


#: By connections: what bare Falcon gave on the machine for which goal 1 was set, and the goal there.
_BARE_ELSEWHERE = {1: (770, 800), 8: (1550, 1500)}


def submitting(context: Context) -> list[Row]:
    """Goal 1."""
    rows = []
    data, folder = context.fresh("submit"), context.fresh("bare")
    with servers.api(data) as ours, servers.bare(folder, kind=servers.THREADS) as bare:
        for connections in (1, 8):
            urls = (f"{ours.base}/api/generate", f"{bare.base}/submit")
            mine, theirs = in_turn(context, *(_poster(url, connections, context.seconds) for url in urls))
            what = f"POST /generate, {connections} connections: ours {mine.rate:.0f}/s, bare Falcon {theirs.rate:.0f}/s"
            ratio = mine.rate / theirs.rate
            rows.append(at_least("1", what, ratio, 0.7, "x bare", "two fsyncs", ours=vars(mine), bare=vars(theirs)))
            usual, goal = _BARE_ELSEWHERE[connections]
            rows.append(at_least("1", f"the same where bare Falcon gives {usual}/s", ratio * usual, goal, "/s"))
    return rows


def _poster(url: str, connections: int, seconds: float) -> Measure:
    return lambda: load.run(url, connections=connections, seconds=seconds, post=True)


def _getter(url: str, connections: int, seconds: float) -> Measure:
    return lambda: load.run(url, connections=connections, seconds=seconds)


def status(context: Context) -> list[Row]:
    """Goals 2 and 3."""
    small, large = context.data(100), context.data(context.size)
    with (
        servers.api(small) as few,
        servers.api(large) as many,
        servers.bare(context.fresh("bare"), kind=servers.OUR_WORKER) as bare,
    ):
        urls = (_status_url(few.base, small), _status_url(many.base, large), f"{bare.base}/constant")
        at_few, at_many, constant = in_turn(context, *(_getter(url, 1, context.seconds) for url in urls))
        with _reading(f"{many.base}/api/gallery"):
            busy = load.middle([load.run(urls[1], seconds=context.seconds) for _ in range(context.rounds)])
    context.note("status", 100, at_few.p50)
    context.note("status", context.size, at_many.p50)
    what = f"GET /status: ours {at_many.rate:.0f}/s, constant JSON {constant.rate:.0f}/s"
    ratio = at_many.rate / constant.rate
    flat = f"/status p50 at {context.size} jobs ({at_many.p50:.2f} ms) against 100 ({at_few.p50:.2f} ms)"
    isolated = f"/status p50 with one gallery reader ({busy.p50:.2f} ms) against idle"
    return [
        at_least("2", what, ratio, 0.6, "x constant", "one file read", ours=vars(at_many), constant=vars(constant)),
        at_most("3", flat, at_many.p50 / at_few.p50, 1.3, "x"),
        at_most("3", isolated, busy.p50 / at_many.p50, 10, "x", busy=vars(busy)),
    ]


def _status_url(base: str, data: Path) -> str:
    job_id = max(Spool(Layout(data)).ids(State.COMPLETED))
    return f"{base}/api/status/{job_id}"


@contextmanager
def _reading(url: str) -> Iterator[None]:
    """One client that reads a page again and again."""
    stop = threading.Event()
    parts = urlsplit(url)

    def read() -> None:
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        while not stop.is_set():
            connection.request("GET", parts.path)
            connection.getresponse().read()
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()


def queue(context: Context) -> list[Row]:
    """Goal 4."""
    rows = []
    with servers.api(context.data(100)) as few, servers.api(context.data(context.size)) as many:
        for query in ("", "?detailed=true"):
            path = f"/api/queue{query}"
            urls = (f"{few.base}{path}", f"{many.base}{path}")
            small, large = in_turn(context, *(_getter(url, 1, context.seconds) for url in urls))
            context.note(f"queue{query}", 100, small.p50)
            context.note(f"queue{query}", context.size, large.p50)
            what = f"GET /queue{query} p50 at {context.size} jobs"
            rows.append(at_most("4", what, large.p50, 2 * context.slack, "ms", load=vars(large)))
            rows.append(at_most("4", f"{what} against 100", large.p50 / small.p50, 1.5 * context.slack, "x"))
    return rows


def gallery(context: Context) -> list[Row]:
    """Goals 5 and 6, and the pages that nobody named: the middle, a filter, two letters."""
    with servers.api(context.data(context.size)) as many:
        total = json.loads(_body(f"{many.base}/api/gallery"))["total"]
        last = (total + 19) // 20
        asked = {
            "page 1": ("5", "", 2.0, "0.2 ms HTTP"),
            "last page": ("5", f"?page={last}", 8.0, "0.2 ms HTTP"),
            "middle page": ("5", f"?page={last // 2}", 8.0, "0.2 ms HTTP"),
            "one model": ("5", "?model=flux-1", 2.0, "0.2 ms HTTP"),
            "search, rare word": ("6", f"?search={RARE_WORD}", 3.0, "0.2 ms"),
            "search, 5 % word": ("6", f"?search={COMMON_WORD}", 5.0, "0.2 ms"),
            "search, two letters": ("6", "?search=zz", None, ""),
        }
        rows = []
        for name, (number, query, goal, limit) in asked.items():
            (found,) = in_turn(context, _getter(f"{many.base}/api/gallery{query}", 1, context.seconds))
            context.note(f"gallery {name}", context.size, found.p50)
            what = f"gallery {name} p50 at {total} images"
            if goal is None:
                rows.append(Row(number=number, what=what, figure=f"{found.p50:.3g} ms", details=vars(found)))
            else:
                rows.append(at_most(number, what, found.p50, goal * context.slack, "ms", limit, load=vars(found)))
        rows += _after_a_change(context, many.base, total)
    with servers.api(context.data(100)) as few:
        for name, (_, query, _, _) in asked.items():
            context.note(f"gallery {name}", 100, load.run(f"{few.base}/api/gallery{query}", seconds=1).p50)
    return rows


def _after_a_change(context: Context, base: str, total: int) -> list[Row]:
    """Totals are kept up with what changed; here something changes before each request, as with a busy runner."""
    index = image_index(context.data(context.size)).file
    parts = urlsplit(base)
    rows = []
    for name, word, goal in (
        ("rare word", RARE_WORD, 3.0),
        ("5 % word", COMMON_WORD, 5.0),
        ("two letters", "zz", None),
    ):
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        times = []
        for _ in range(10 * context.rounds):
            with index.write() as database:  # an image comes and goes
                database.execute("INSERT INTO image VALUES (1, zeroblob(16), 'demo', 0)")
                database.execute("INSERT INTO body VALUES (1, ?)", (f"demo {word}",))
                database.execute("DELETE FROM image WHERE k = 1")
            began = time.perf_counter()
            connection.request("GET", f"/api/gallery?search={word}")
            connection.getresponse().read()
            times.append((time.perf_counter() - began) * 1000)
        connection.close()
        what = f"gallery search, {name}, the first after a change, p50 at {total} images"
        if goal is None:
            rows.append(Row(number="6", what=what, figure=f"{median(times):.3g} ms"))
        else:
            rows.append(at_most("6", what, median(times), goal * context.slack, "ms"))
    return rows


def _body(url: str) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.request("GET", f"{parts.path}?{parts.query}")
    body = connection.getresponse().read()
    connection.close()
    return body


def process(context: Context) -> list[Row]:
    """Goal 11."""
    starts, memory = [], []
    for _ in range(context.rounds):
        with servers.api(context.data(context.size)) as server:
            starts.append(server.start_seconds)
            for path in ("/api/gallery", f"/api/gallery?search={COMMON_WORD}", "/api/queue?detailed=true"):
                _body(f"{server.base}{path}")
            memory.append(server.worker_megabytes())
    return [
        at_most("11", "API: start to first answer", min(starts), 0.5, "s", "Falcon 0.09 s", all=starts),
        at_most("11", f"API: memory of a worker, {context.size} jobs", max(memory), 60, "MB", "27 MB", all=memory),
    ]


def slow_clients(context: Context) -> list[Row]:
    """Goal 12."""
    data = context.data(100)
    with servers.api(data) as server, _slow_clients(server.base, 500):
        found = load.run(_status_url(server.base, data), seconds=context.seconds * 2)
    what = "/status p99 with 500 slow clients"
    return [at_most("12", what, found.p99, 250, "ms", load=vars(found))]


@contextmanager
def _slow_clients(base: str, amount: int) -> Iterator[None]:
    """Clients that send one byte of a request per second and never come to its end."""
    address = urlsplit(base)
    clients = [socket.create_connection((address.hostname or "", address.port or 0)) for _ in range(amount)]
    request = (
        b"POST /api/generate HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    )
    for client in clients:
        client.sendall(request)
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(1):
            for client in clients:
                try:
                    client.sendall(b" ")
                except OSError:
                    return  # the server has had enough of it

    sender = threading.Thread(target=trickle)
    sender.start()
    try:
        time.sleep(1)
        yield
    finally:
        stop.set()
        sender.join()
        for client in clients:
            client.close()


def processor(context: Context) -> list[Row]:
    """Processor time per request: a figure that other programs on the machine hardly disturb."""
    data, small = context.data(context.size), context.data(100)
    with (
        servers.api(data) as many,
        servers.api(small) as few,
        servers.bare(context.fresh("bare"), kind=servers.OUR_WORKER) as bare,
    ):
        constant = _microseconds(bare, "/constant", context)
        status = _microseconds(many, urlsplit(_status_url("", data)).path, context)
        searches = [f"/api/gallery?search={word}" for word in (RARE_WORD, COMMON_WORD)]
        asked = ["/api/queue", "/api/queue?detailed=true", "/api/gallery", "/api/gallery?page=999999", *searches]
        rows = [
            Row(number="2", what="processor time, constant JSON in our worker", figure=f"{constant:.0f} us"),
            Row(number="2", what=f"processor time, /status, {context.size} jobs", figure=f"{status:.0f} us"),
        ]
        for path in asked:
            times = (_microseconds(few, path, context), _microseconds(many, path, context))
            figure = f"{times[0]:.0f} us with 100, {times[1]:.0f} us with {context.size}"
            rows.append(Row(number="4-6", what=f"processor time, {path.removeprefix('/api')}", figure=figure))
    return rows


def _microseconds(server: servers.Server, path: str, context: Context) -> float:
    load.run(f"{server.base}{path}", seconds=1)  # opened files, warm caches
    before = server.worker_seconds()
    found = load.run(f"{server.base}{path}", seconds=context.seconds)
    requests = found.rate * max(1, round(context.seconds))
    return (server.worker_seconds() - before) / requests * 1e6
