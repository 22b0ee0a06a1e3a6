"""The worker process: owns the device, claims the jobs it is told, and runs them. Started by the supervisor.

Whatever goes wrong with a job, this ends in one of: the job is finished, the job is back in `pending`, or
this process is gone and the kernel has freed the job's lock, so that recovery brings the job on.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from math import prod
from typing import Final

from core import log
from core.files import is_storage_error
from core.layout import Layout
from core.locks import ExclusiveLock
from core.settings import Settings
from engine.local import devices, faults
from engine.local.pipelines import Pipelines, advice
from engine.local.previews import Previews
from jobs.catalog import Catalog
from jobs.claims import Claim, claim, retry_or_fail
from jobs.errors import CorruptJob, LostClaim
from jobs.schema import Job, JobError
from jobs.spool import Spool
from runner.job_run import CancelRequested, JobRun, StopRequested, Workshop, thrift_of
from runner.messages import Ended, Leaving, Outcome, Ready, Waiting
from runner.stop_switch import StopSwitch
from runner.worker_channel import WorkerChannel
from service.data import open_data

logger = logging.getLogger(__name__)

#: How often something that must be waited for (the device, disk space) is looked at, in seconds.
_RETRY_SECONDS: Final = 0.5


class Worker:
    """Runs jobs until it shall stop."""

    def __init__(self, spool: Spool, workshop: Workshop, channel: WorkerChannel) -> None:
        self._spool = spool
        self._shop = workshop
        self._channel = channel

    def run(self) -> None:
        """Work; answers when there is nothing more to do for this process."""
        self._channel.tell(Ready(device=self._shop.device.name, device_name=self._shop.device.title))
        while (job_id := self._channel.next_job()) is not None and not self._shop.stop.is_requested:
            outcome, leaving = self._take(job_id)
            if leaving is None and self._shop.pipelines.leaks():
                leaving = Leaving("Memory stayed behind when a model had gone.")
            self._channel.tell(Ended(job_id=job_id, outcome=outcome))
            if leaving is not None:
                self._channel.tell(leaving)
                return
        self._channel.tell(Leaving("Nothing more to do."))

    def _take(self, job_id: str) -> tuple[Outcome, Leaving | None]:
        """Claim a job and work on it; answers what became of it, and why the worker must leave, if it must."""
        try:
            held = claim(self._spool, job_id)
        except CorruptJob as error:
            logger.error("A job cannot be read: %s", error)
            return "not_claimed", None
        if held is None:
            return "not_claimed", None
        try:
            return self._work(held)
        except LostClaim as error:
            logger.error("%s Nothing more is written for it.", error)
            held.abandon()
            return "put_back", None

    def _work(self, held: Claim) -> tuple[Outcome, Leaving | None]:
        """Run a claimed job. The error, with its frames and all they hold, is gone when this returns."""
        started = time.monotonic()
        try:
            held.begin_attempt()
            logger.info("A job begins.", extra=held.job.log_context())
            JobRun(held, self._shop, lambda: self._leave_at_once(held)).run()
            held.complete()
        except StopRequested:
            held.put_back(return_attempt=True)
            return "put_back", None
        except CancelRequested:
            held.cancel()
            return "cancelled", None
        except LostClaim:
            raise
        except Exception as error:  # noqa: BLE001  every error of a model ends one job, not the worker
            verdict = self._judge(held, error)
        else:
            logger.info(
                "A job is done.", extra=held.job.log_context() | {"seconds": round(time.monotonic() - started, 3)}
            )
            return "completed", None
        return self._end_badly(held, *verdict)

    def _judge(self, held: Claim, error: Exception) -> tuple[str, JobError]:
        """What kind of failure this is, and how to say it; keeps no reference to the error."""
        if isinstance(error, OSError) and is_storage_error(error):
            return "storage", JobError(type="storage", message=f"The disk refused a write: {error.strerror}.")
        logger.error("A job failed.", extra=held.job.log_context(), exc_info=error)
        if isinstance(error, faults.DoesNotFit):
            return "job", JobError(type="out_of_memory", message=f"No room for {_size(held.job)}: {error}")
        if faults.is_out_of_memory(error):
            return "memory", JobError(type="out_of_memory", message=faults.first_line(error))
        if faults.is_device_fault(error):
            return "device", JobError(type="device_error", message=f"The device failed: {faults.first_line(error)}")
        return "job", faults.describe(error)

    def _end_badly(self, held: Claim, kind: str, error: JobError) -> tuple[Outcome, Leaving | None]:
        """End an attempt that failed, in the way that its kind of failure asks for."""
        if kind == "storage":
            return self._wait_for_disk(held), None
        if kind == "device":
            state = retry_or_fail(
                held,
                max_attempts=self._shop.settings.max_attempts,
                waits=self._shop.settings.retry_waits,
                error=error,
            )
            return ("failed" if state.is_final else "put_back"), Leaving(error.message, is_fault=True)
        if kind == "memory":
            return self._end_out_of_memory(held), Leaving("The device ran out of memory.")
        held.fail(error)
        return "failed", None

    def _end_out_of_memory(self, held: Claim) -> Outcome:
        """Once more in a fresh process with a thriftier plan, if there is one; else the job has failed."""
        job, settings = held.job, held.job.effective_settings
        limits = self._shop.catalog.models[job.model_id].limits
        pixels, thrift = prod(limits.drawn(settings.height, settings.width)), thrift_of(job)
        can_save, side = self._shop.pipelines.what_fits(job.model_id, pixels, thrift=thrift, images=settings.num_images)
        message = f"Out of memory at {_size(job)} on {self._shop.device.title}"
        if can_save and thrift == 0:
            error = JobError(type="out_of_memory", message=f"{message}; trying once more with a thriftier plan.")
            held.put_back(error=error)
            return "put_back"
        held.fail(JobError(type="out_of_memory", message=f"{message}; {advice(side)}."))
        return "failed"

    def _wait_for_disk(self, held: Claim) -> Outcome:
        """Put the job back as soon as the disk takes that much; nobody is harmed meanwhile."""
        while True:
            try:
                held.put_back(return_attempt=True)
            except OSError as error:
                self._channel.tell(Waiting(f"The disk is full: {error.strerror}."))
                if self._shop.stop.is_requested:
                    held.abandon()
                    return "storage_full"
                time.sleep(_RETRY_SECONDS)
            else:
                return "storage_full"

    def _leave_at_once(self, held: Claim) -> None:
        """End this process in the middle of a load; loading has no steps at which it could be stopped."""
        held.put_back(return_attempt=True)
        self._channel.tell(Ended(job_id=held.job.id, outcome="put_back"))
        self._channel.tell(Leaving("Stopped while loading."))
        os._exit(0)


def _size(job: Job) -> str:
    """The size that a job asks for."""
    return f"{job.effective_settings.width}x{job.effective_settings.height}"


def _own_device(
    device: devices.Device, layout: Layout, stop: StopSwitch, channel: WorkerChannel
) -> ExclusiveLock | None:
    """The lock of the device, waited for while another worker (of a runner that was killed) still has it."""
    lock = ExclusiveLock(layout.device_lock(device.name))
    while not lock.acquire(timeout=_RETRY_SECONDS):
        if stop.is_requested:
            return None
        channel.tell(Waiting("Another worker still has the device; waiting until it is gone."))
    return lock


def main() -> None:
    """Run the worker until its supervisor tells it to stop, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the supervisor decides
    stop = StopSwitch()
    channel = WorkerChannel(stop.request)
    signal.signal(signal.SIGTERM, lambda *_: channel.stop())
    settings = Settings.from_environment()
    log.configure(settings.log_level)
    catalog = Catalog.load(settings.catalog, settings.models)
    data = open_data(settings)
    # Compiled kernels outlive the worker, the container and /tmp.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(data.layout.compiled))
    device = devices.choose(settings.device)
    lock = _own_device(device, data.layout, stop, channel)
    if lock is None:
        return
    workshop = Workshop(
        settings=settings,
        catalog=catalog,
        store=data.store,
        device=device,
        pipelines=Pipelines(catalog, device),
        previews=Previews(data.layout) if settings.previews else None,
        stop=stop,
        tell=channel.tell,
    )
    Worker(data.spool, workshop, channel).run()
    logging.shutdown()
    os._exit(0)  # nothing is left to do but to tear torch down, which would keep the device for seconds


if __name__ == "__main__":
    main()
