"""The worker process: owns the device, claims the jobs it is told, and runs them. Started by the supervisor.

Whatever goes wrong with a job, this ends in one of: the job is finished, the job is back in `pending`, or
this process is gone and the kernel has freed the job's lock, so that recovery takes it up.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from core import log
from core.files import is_out_of_reach, is_storage_error
from core.layout import Layout
from core.locks import ExclusiveLock
from core.private_paths import without_paths
from core.settings import Settings
from engine.contract import DeviceFault, DeviceUnavailable, Engine, ModelUnavailable, OutOfMemory, TooLarge
from jobs.catalog import Catalog
from jobs.claims import Claim, claim, retry_or_fail
from jobs.errors import CatalogError, LostClaim, UnknownModel
from jobs.schema import Job, JobError
from jobs.spool import Spool
from outputs.inputs import DamagedInput, InputNotFound
from runner.job_run import CancelRequested, JobRun, StopRequested, WorkerContext, fallback_level_of
from runner.messages import Ended, Exiting, Outcome, Ready, Waiting
from runner.stop_switch import StopSwitch
from runner.worker_channel import WorkerChannel
from service.data import open_data

logger = logging.getLogger(__name__)

#: How often something that must be waited for (the device, disk space) is looked at, in seconds.
_RETRY_SECONDS: Final = 0.5
#: The longest text of an error that a job's file gets, in characters.
_LONGEST_ERROR: Final = 300

EngineFactory = Callable[[Settings, Catalog, Layout], Engine]


class Worker:
    """Runs jobs until it must stop."""

    def __init__(self, spool: Spool, context: WorkerContext, channel: WorkerChannel) -> None:
        self._spool = spool
        self._context = context
        self._channel = channel
        #: Why the last job could not be claimed.
        self._claim_trouble: str | None = None

    def run(self) -> None:
        """Work; returns when there is nothing more to do for this process."""
        engine = self._context.engine
        self._channel.send(Ready(device=engine.device, device_name=engine.device_name))
        while (job_id := self._channel.next_job()) is not None and not self._context.stop.is_requested:
            outcome, exiting = self._take(job_id)
            if exiting is None and (reason := engine.why_replace()):
                exiting = Exiting(reason)
            self._channel.send(Ended(job_id=job_id, outcome=outcome))
            if exiting is not None:
                self._channel.send(exiting)
                return
        self._channel.send(Exiting("Nothing more to do."))

    def _take(self, job_id: str) -> tuple[Outcome, Exiting | None]:
        """Claim a job and work on it; returns what became of it, and why the worker must leave, if it must."""
        try:
            held = claim(self._spool, job_id)
        except OSError as error:
            self._cannot_claim(error)
            return "storage_full", None
        self._claim_trouble = None
        if held is None:
            return "not_claimed", None
        try:
            return self._work(held)
        except LostClaim as error:
            logger.error("%s Nothing more is written for it.", error)
            held.abandon()
            return "requeued", None
        except OSError as error:  # also the end that an error of the job asks for
            logger.error("How a job ended could not be written, so it is recovered: %s", error)
            held.abandon()
            return "requeued", None

    def _cannot_claim(self, error: OSError) -> None:
        """Say why, once; the supervisor lets a moment pass before it offers the job again."""
        trouble = f"No job can be claimed: {error.strerror}."
        self._channel.send(Waiting(trouble))
        if trouble != self._claim_trouble:
            logger.error("A job cannot be claimed now: %s", error)
        self._claim_trouble = trouble

    def _work(self, held: Claim) -> tuple[Outcome, Exiting | None]:
        """Run a claimed job. The error, with its frames and all they hold, is gone when this returns."""
        started = time.monotonic()
        try:
            logger.info("A job begins.", extra=held.job.log_context())
            JobRun(held, self._context, lambda: self._exit_at_once(held)).run()
            held.complete()
        except StopRequested:
            held.requeue(refund_attempt=True)
            return "requeued", None
        except CancelRequested:
            held.cancel()
            return "cancelled", None
        except LostClaim:
            raise
        except Exception as error:  # noqa: BLE001  every error of a model ends one job, not the worker
            failure = self._classify_failure(held, error)
        else:
            logger.info(
                "A job is done.", extra=held.job.log_context() | {"seconds": round(time.monotonic() - started, 3)}
            )
            return "completed", None
        return self._handle_failure(held, *failure)

    def _classify_failure(self, held: Claim, error: Exception) -> tuple[str, JobError]:
        """What kind of failure this is, and how to say it; keeps no reference to the error."""
        if isinstance(error, OSError) and self._is_of_the_disk(error):
            return "storage", JobError(type="storage", message=f"The disk refused a write: {error.strerror}.")
        logger.error("A job failed.", extra=held.job.log_context(), exc_info=error)
        settings = self._context.settings
        folders = (settings.data, settings.models, settings.catalog.parent)
        return describe(error, held.job, self._context.engine.device_name, folders)

    def _is_of_the_disk(self, error: OSError) -> bool:
        """Whether an error concerns every job: a disk that refuses writes, or a data directory that is gone."""
        return is_storage_error(error) or (is_out_of_reach(error) and not self._spool.layout.marker.exists())

    def _handle_failure(self, held: Claim, kind: str, error: JobError) -> tuple[Outcome, Exiting | None]:
        """End an attempt that failed, in the way that its kind of failure asks for."""
        if kind == "storage":
            return self._wait_for_disk(held), None
        if kind == "device":
            state = retry_or_fail(
                held,
                max_attempts=self._context.settings.max_attempts,
                waits=self._context.settings.retry_delays,
                error=error,
            )
            return ("failed" if state.is_final else "requeued"), Exiting(error.message, is_fault=True)
        if kind == "fallback":
            held.requeue(error=error)
            return "requeued", Exiting("The device ran out of memory.")
        held.fail(error)
        return "failed", Exiting("The device ran out of memory.") if kind == "memory" else None

    def _wait_for_disk(self, held: Claim) -> Outcome:
        """Requeue the job as soon as the disk takes that much; nobody is harmed meanwhile."""
        while True:
            try:
                held.requeue(refund_attempt=True)
            except FileNotFoundError:  # it is back or has ended, and only the rest of that was refused
                held.abandon()
                return "storage_full"
            except OSError as error:
                self._channel.send(Waiting(f"The disk is full: {error.strerror}."))
                if self._context.stop.is_requested:
                    held.abandon()
                    return "storage_full"
                time.sleep(_RETRY_SECONDS)
            else:
                return "storage_full"

    def _exit_at_once(self, held: Claim) -> None:
        """End this process in the middle of a load; loading has no steps at which it could be stopped."""
        held.requeue(refund_attempt=True)
        self._channel.send(Ended(job_id=held.job.id, outcome="requeued"))
        self._channel.send(Exiting("Stopped while loading."))
        os._exit(0)


def describe(error: Exception, job: Job, device: str, folders: Sequence[Path] = ()) -> tuple[str, JobError]:
    """What an engine's error means for the job: what is to be done, and the sentence for people.

    `fallback`: once more with a plan that needs less memory. `memory`: given up, in a process to be replaced.
    `device`: another attempt in a new process. `job`: given up. The sentence names none of the server's `folders`.
    """
    size = f"{job.effective_settings.width}x{job.effective_settings.height}"
    text = _shorten(without_paths(str(error), *folders))
    match error:
        case OutOfMemory() if error.has_lower_memory_plan and fallback_level_of(job) == 0:
            message = f"Out of memory at {size} on {device}; trying once more with a plan that needs less memory."
            return "fallback", JobError(type="out_of_memory", message=message)
        case OutOfMemory():
            return "memory", JobError(type="out_of_memory", message=f"Out of memory at {size} on {device}; {text}.")
        case TooLarge():
            return "job", JobError(type="out_of_memory", message=f"No room for {size}: {text}")
        case DeviceFault():
            return "device", JobError(type="device_error", message=f"The device failed: {text}")
        case ModelUnavailable() | UnknownModel():
            return "job", JobError(type="model_unavailable", message=text)
        case InputNotFound() | DamagedInput():
            return "job", JobError(type="input_unavailable", message=text)
        case ValueError() | TypeError():
            return "job", JobError(type="invalid_settings", message=f"The model refused the request: {text}")
        case _:
            return "job", JobError(type="internal", message=f"Generation failed: {type(error).__name__}: {text}")


def _shorten(text: str) -> str:
    """The first line of a text, at a bearable length."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _LONGEST_ERROR else line[: _LONGEST_ERROR - 3] + "..."


def _own_device(engine: Engine, layout: Layout, stop: StopSwitch, channel: WorkerChannel) -> ExclusiveLock | None:
    """The lock of the device, waited for while another worker (of a runner that was killed) still has it."""
    lock = ExclusiveLock(layout.device_lock(engine.device))
    while not lock.acquire(timeout=_RETRY_SECONDS):
        if stop.is_requested:
            return None
        channel.send(Waiting(f"Another worker still has the device {engine.device}; waiting until it is gone."))
    return lock


def local_engine(settings: Settings, catalog: Catalog, layout: Layout) -> Engine:
    """The engine that draws in this process."""
    # Compiled kernels outlive the worker, the container and /tmp.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(layout.compiled))
    from engine.local import devices
    from engine.local.engine import LocalEngine
    from engine.local.pipelines import Pipelines
    from engine.local.preview_budget import CPU_SHARE, GPU_SHARE, Budget
    from engine.local.previews import Previews

    (wanted,) = settings.devices
    device = devices.choose(wanted)
    budget = Budget(GPU_SHARE if device.is_cuda else CPU_SHARE)
    previews = Previews(layout.latent_maps, layout.temporary, budget) if settings.previews else None
    return LocalEngine(catalog, device, Pipelines(catalog, device), previews)


#: The engine for each kind of device, the part of its name before a colon. The supervisor knows none of them.
ENGINES: Final[Mapping[str, EngineFactory]] = {"auto": local_engine, "cpu": local_engine, "cuda": local_engine}


def engine_of_device(settings: Settings, catalog: Catalog, layout: Layout) -> Engine:
    """The engine that draws on the worker's device."""
    (device,) = settings.devices  # its supervisor starts a worker for each
    return ENGINES[device.partition(":")[0]](settings, catalog, layout)


def main(make_engine: EngineFactory = engine_of_device) -> None:
    """Run the worker until its supervisor tells it to stop, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the supervisor decides
    stop = StopSwitch()
    channel = WorkerChannel(stop.request)
    signal.signal(signal.SIGTERM, lambda *_: channel.stop())
    settings = Settings.from_environment()
    log.configure(settings.log_level, show_prompts=settings.log_prompts)
    data = open_data(settings)
    try:
        catalog = Catalog.load(settings.catalog, settings.models)
        engine = make_engine(settings, catalog, data.layout)
    except DeviceUnavailable as error:
        channel.send(Exiting(str(error), is_setting=True))
        return
    except CatalogError as error:  # it was right when the runner started; somebody may be editing it
        logger.error("%s", error)
        channel.send(Exiting(str(error), is_fault=True))
        return
    lock = _own_device(engine, data.layout, stop, channel)
    if lock is None:
        return
    context = WorkerContext(
        settings=settings,
        catalog=catalog,
        store=data.store,
        inputs=data.inputs,
        engine=engine,
        stop=stop,
        send=channel.send,
    )
    Worker(data.spool, context, channel).run()
    logging.shutdown()
    os._exit(0)  # nothing is left to do but to tear torch down, which would keep the device for seconds


if __name__ == "__main__":
    main()
