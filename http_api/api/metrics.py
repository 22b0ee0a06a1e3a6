"""`GET /metrics`: figures for Prometheus.

Those of jobs and images come from the files and the index, so a restart forgets nothing. Those of requests are
counted in the workers and added up, since the API was started (`http_api.server.request_metrics`). So every
worker answers the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from falcon import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from core.errors import IndexUnavailable
from http_api.server import blocking, request_metrics
from jobs import runner_status
from jobs.index.figures import BOUNDS, Figures, Histogram
from jobs.pause import is_paused
from jobs.runner_status import RunnerState
from jobs.schema import State
from service import scrub
from service.services import Services

#: Figures are read again after N seconds; with a million jobs a reading takes a second.
_FRESH: Final = 5.0


class MetricsResource:
    """The figures of this data directory."""

    def __init__(self, services: Services) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Figures(services))
        request_metrics.register(self._registry)
        self._answer: tuple[float, bytes] = (float("-inf"), b"")

    def on_get(self, req: Request, resp: Response) -> None:
        """Answer in the text format."""
        moment, answer = self._answer
        if time.monotonic() - moment > _FRESH:
            answer = blocking.run(lambda: generate_latest(self._registry), blocking.READS)
            self._answer = (time.monotonic(), answer)
        resp.content_type = CONTENT_TYPE_LATEST
        resp.data = answer

    on_head = on_get


class _Figures(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterator[Metric]:
        """Nothing is known before it is read."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read everything now."""
        try:
            figures = self._services.jobs.figures()
            images = self._services.images.count()
        except IndexUnavailable:
            yield GaugeMetricFamily("cyberimage_index_up", "Whether the derived indexes can be read.", value=0)
        else:
            yield GaugeMetricFamily("cyberimage_index_up", "Whether the derived indexes can be read.", value=1)
            yield GaugeMetricFamily("cyberimage_images", "Images in the gallery.", value=images)
            yield from _of_jobs(figures)
        yield from self._of_storage()
        yield from self._of_images()
        yield from self._of_runner()

    def _of_storage(self) -> Iterator[Metric]:
        paused = is_paused(self._services.layout)
        yield GaugeMetricFamily("cyberimage_queue_paused", "Whether no job is begun until it is resumed.", value=paused)
        free = self._services.spool.capacity.free_bytes()
        yield GaugeMetricFamily("cyberimage_free_bytes", "Free space of the data directory.", value=free)
        about = "Requests refused by a rate limit."
        limited = CounterMetricFamily("cyberimage_rate_limited_requests", about, labels=["limit"])
        limited.add_metric(["jobs"], self._services.limiter.refused())
        limited.add_metric(["forwarded_prompts"], self._services.enrich_limiter.refused())
        yield limited

    def _of_images(self) -> Iterator[Metric]:
        found = scrub.figures(self._services.layout)
        yield GaugeMetricFamily("cyberimage_damaged_images", "Images known to be damaged.", value=found.damaged)
        about = "Images compared with their checksums in the current pass."
        yield GaugeMetricFamily("cyberimage_scrubbed_images", about, value=found.images)
        about = "When a pass over all images last ended (seconds since the epoch); 0 before the first."
        yield GaugeMetricFamily("cyberimage_scrub_end_time_seconds", about, value=found.last_end or 0)

    def _of_runner(self) -> Iterator[Metric]:
        runners = runner_status.read_all(self._services.layout)
        up = any(runner.is_alive for runner in runners)
        yield GaugeMetricFamily("cyberimage_runner_up", "Whether a runner lives.", value=up)
        labels = ["device", "state"]
        state = GaugeMetricFamily("cyberimage_runner_state", "What a runner does: 1 for its state.", labels=labels)
        for runner in runners:
            for name in RunnerState:
                is_now = runner.is_alive and runner.status is not None and runner.status.state is name
                state.add_metric([runner.device, name.value], is_now)
        yield state
        said = {runner.device: runner.status for runner in runners if runner.status}
        steps = {device: status.step_seconds for device, status in said.items()}
        loads = {device: status.load_seconds for device, status in said.items()}
        yield _by_model("cyberimage_step_seconds", "Median step time recently.", steps)
        yield _by_model("cyberimage_model_load_seconds", "Last load time.", loads)


def _of_jobs(figures: Figures) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("cyberimage_jobs", "Jobs by model and state.", labels=["model", "state"])
    for model in sorted({model for model, _ in figures.jobs}):
        for state in State:
            jobs.add_metric([model, state.value], figures.jobs.get((model, state), 0))
    yield jobs
    yield _histogram("cyberimage_job_waiting_seconds", "Acceptance to first start.", figures.waiting)
    yield _histogram("cyberimage_job_running_seconds", "First start to end of completed jobs.", figures.running)
    failed = CounterMetricFamily("cyberimage_failed_jobs", "Failed jobs by type of error.", labels=["model", "type"])
    for (model, kind), count in figures.failures.items():
        failed.add_metric([model, kind], count)
    yield failed


def _histogram(name: str, about: str, by_model: dict[str, Histogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, about, labels=["model"])
    for model, found in by_model.items():
        buckets = [(str(bound), float(n)) for bound, n in zip(BOUNDS, found.at_most, strict=True)]
        family.add_metric([model], buckets=[*buckets, ("+Inf", float(found.count))], sum_value=found.total)
    return family


def _by_model(name: str, about: str, by_device: dict[str, dict[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=["device", "model"])
    for device, values in by_device.items():
        for model, value in values.items():
            family.add_metric([device, model], value)
    return family
