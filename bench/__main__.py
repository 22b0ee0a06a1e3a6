"""Measure and print the table: `python -m bench` (under five minutes) or `python -m bench --full`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import chart, http_rows, isolation_rows, queue_rows, results
from bench.context import Context
from bench.results import Row

QUICK_SIZE = 10_000
FULL_SIZE = 100_000
MILLION = 1_000_000

_PARTS: dict[str, Callable[[Context], list[Row]]] = {
    "submit": http_rows.submitting,
    "status": http_rows.status,
    "queue": http_rows.queue,
    "gallery": http_rows.gallery,
    "processor": http_rows.processor,
    "rebuild": queue_rows.rebuild,
    "latency": queue_rows.start_latency,
    "claim": queue_rows.claiming,
    "adopt": queue_rows.adopting,
    "runner": queue_rows.runner_overhead,
    "cold": queue_rows.cold_start,
    "workers": queue_rows.worker_scaling,
    "process": http_rows.process,
    "slow": http_rows.slow_clients,
    "isolation": isolation_rows.submitting_while_searching,
}
#: What is measured again with a million.
_AT_A_MILLION = ("status", "queue", "gallery")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the figures of docs/performance.md.")
    parser.add_argument("--full", action="store_true", help="with 100,000 jobs and images, and more rounds")
    parser.add_argument("--million", action="store_true", help="status and listings with 1,000,000 too (10 GB)")
    parser.add_argument("--only", nargs="+", choices=list(_PARTS), default=list(_PARTS), help="some parts only")
    parser.add_argument("--size", type=int, help="jobs in the large data directory")
    parser.add_argument("--folder", type=Path, default=Path("var/bench"), help="where data and results go")
    parser.add_argument("--core", type=int, default=0, help="the processor that server and clients share; -1: all")
    return parser.parse_args()


def main() -> int:
    """The command line; 1 where a goal is missed."""
    options = _arguments()
    if options.core >= 0:
        os.sched_setaffinity(0, {options.core})
    size = options.size or (FULL_SIZE if options.full else QUICK_SIZE)
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    context = Context(folder, size, rounds=3 if options.full else 2, seconds=2 if options.full else 1)
    rows = _measure(context, options.only)
    if options.million:
        context.size = MILLION
        rows += _measure(context, [name for name in _AT_A_MILLION if name in options.only])
    _report(folder, rows, context)
    _print(folder, rows)
    return 1 if any(row.met is False for row in rows) else 0


def _measure(context: Context, names: list[str]) -> list[Row]:
    rows = []
    for name in names:
        began = time.monotonic()
        sys.stderr.write(f"measuring {name} with {context.size} jobs ...")
        sys.stderr.flush()
        try:
            rows += _PARTS[name](context)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:  # the other parts still count
            rows.append(Row(number="-", what=name, figure=f"not measured: {error}", met=False))
        sys.stderr.write(f" {time.monotonic() - began:.0f} s\n")
        _report(context.folder, rows, context)  # so that an interrupted run leaves what it found
    return rows


def _report(folder: Path, rows: list[Row], context: Context) -> None:
    results.write_json(folder / "results.json", rows, results.machine())
    chart.draw(folder / "latency.svg", context.series, "p50 over HTTP against the size of the data directory")


def _print(folder: Path, rows: list[Row]) -> None:
    about = results.machine()
    print(results.table(rows))
    load = ", ".join(f"{value:.1f}" for value in about["load_average"])
    print(f"\n{about['processor']}, {about['cores']} cores, load {load}, commit {about['commit']}, {about['when']}")
    print(f"Details: {folder / 'results.json'}, chart: {folder / 'latency.svg'}")


if __name__ == "__main__":
    sys.exit(main())
