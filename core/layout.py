"""Every path of the data directory: the only module that knows the names of its folders and files.

`docs/spool.md` states what people and scripts may rely on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: Marks a folder as a data directory of ours.
MARKER: Final = ".cyberimage"
#: Folders of the spool beside those of the states.
_FOLDERS: Final = (
    "incoming",
    "rejected",
    "corrupt",
    "progress",
    "cancel",
    "deleted",
    "deleting",
    "damaged",
    "turns",
    "bell",
    "callers",
    "tmp",
)


class Layout:
    """The paths below one data directory. States, job ids and device names are checked by whoever passes them.

    What lies on the way of every request is returned as text: joining Path objects costs more than opening a file.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self.marker = data / MARKER
        self.spool = data / "spool"
        self.incoming = self.spool / "incoming"
        self.rejected = self.spool / "rejected"
        #: What lay in the place of a job and can be none.
        self.corrupt = self.spool / "corrupt"
        self.progress = self.spool / "progress"
        self.cancel = self.spool / "cancel"
        #: Marks of images that were deleted while their jobs go on.
        self.deleted = self.spool / "deleted"
        #: The sidecars of images that are being deleted.
        self.deleting = self.spool / "deleting"
        #: Marks of images that were found damaged.
        self.damaged = self.spool / "damaged"
        self.locks = self.spool / "locks"
        #: Drafts, on the file system of everything that is written.
        self.temporary = self.spool / "tmp"
        #: What is remembered of those who call: their choices, and the jobs that they wait for.
        self.callers = self.spool / "callers"
        self.bell = self.spool / "bell"
        self.doorbell = self.bell / "ring"
        self.order = self.spool / "order"
        #: Exists while no job is to be begun.
        self.paused = self.spool / "paused"
        #: Which jobs were moved among the waiting ones, and to where.
        self.turns = self.spool / "turns"
        #: Held by whoever moves a job; no job id can have this name.
        self.turns_lock = self.locks / "queue.turns.lock"
        self.job_index = self.spool / "index.sqlite3"
        #: How far the comparison of images with their checksums is.
        self.scrub_state = self.spool / "scrub.json"
        self.rate_limits = self.spool / "rate_limit.sqlite3"
        #: Pictures that came in, by their content.
        self.inputs = data / "inputs"
        #: When they were last swept; its lock keeps the sweep and those that begin to use one apart.
        self.inputs_swept = self.inputs / "swept"
        self.outputs = data / "outputs"
        self.image_index = self.outputs / "index.sqlite3"
        #: What the runner learned of each model's latents.
        self.latent_maps = data / "previews"
        self.cache = data / "cache"
        #: Kernels that torch compiled.
        self.compiled = self.cache / "compiled"
        self._spool = str(self.spool)
        self._outputs = str(self.outputs)
        self._inputs = str(self.inputs)

    def folders(self, states: tuple[str, ...]) -> list[Path]:
        """The folders that the programs make at their start, those that hold others first."""
        inner = [self.spool / name for name in (*states, *_FOLDERS)]
        return [self.spool, *inner, self.inputs, self.outputs]

    def disposable_folders(self) -> list[Path]:
        """More of them, which anybody may remove at any time."""
        return [self.latent_maps, self.cache, self.compiled]

    # --- Jobs ---------------------------------------------------------------------------------

    def state(self, state: str) -> str:
        """The folder of the jobs in a state."""
        return f"{self._spool}/{state}"

    def job(self, state: str, job_id: str) -> str:
        """The file of a job in a state."""
        return f"{self._spool}/{state}/{job_id}.json"

    def corrupt_job(self, job_id: str) -> str:
        """Where the file of a job lies that could not be read and was set aside."""
        return f"{self._spool}/corrupt/{job_id}.json"

    def lock(self, job_id: str) -> Path:
        """The lock of a job."""
        return Path(f"{self._spool}/locks/{job_id}.lock")

    def progress_of(self, job_id: str) -> Path:
        """How far a job is; the file need not be there."""
        return Path(f"{self._spool}/progress/{job_id}.json")

    def preview_of(self, job_id: str) -> Path:
        """A small picture of a job's current image; the file need not be there."""
        return Path(f"{self._spool}/progress/{job_id}.webp")

    def cancel_request(self, job_id: str) -> Path:
        """Exists once somebody asked to cancel a job."""
        return Path(f"{self._spool}/cancel/{job_id}")

    # --- Callers ------------------------------------------------------------------------------

    def caller_options(self, caller: str) -> Path:
        """What a caller has chosen; the file need not be there."""
        return self.callers / caller

    def caller_job(self, caller: str, job_id: str) -> Path:
        """Exists while a caller waits for a job."""
        return self.callers / f"{caller}.{job_id}"

    # --- Images -------------------------------------------------------------------------------

    def image(self, file_path: str) -> str:
        """An image's file by its path below the outputs, `YYYY/MM/DD/<name>`."""
        return f"{self._outputs}/{file_path}"

    def deletion(self, image_id: str) -> Path:
        """Exists from the moment at which an image is deleted until all its bytes are gone."""
        return self.deleting / f"{image_id}.json"

    def input(self, sha256: str) -> Path:
        """The file of a picture that came in."""
        return Path(f"{self._inputs}/{sha256[:2]}/{sha256}.png")

    # --- Runners ------------------------------------------------------------------------------

    def runner_lock(self, device: str) -> Path:
        """Held by the runner of a device while it lives; no job id can have this name."""
        return self.locks / f"runner.{_file_name(device)}.lock"

    def runner_status(self, device: str) -> Path:
        """What the runner of a device does; see `jobs.runner_status`."""
        return self.data / f"runner.{_file_name(device)}.json"

    def runners(self) -> tuple[set[str], set[str]]:
        """The devices for which there are locks of runners, and those for which there are status files."""
        return _devices(self.locks, ".lock"), _devices(self.data, ".json")

    def device_lock(self, device: str) -> Path:
        """Held by the worker that owns a device."""
        return self.locks / f"device.{_file_name(device)}.lock"


def _file_name(device: str) -> str:
    """A device's name, `cuda:0`, as it may stand in a file's name."""
    return device.replace(":", "-")


def _devices(folder: Path, ending: str) -> set[str]:
    """The devices that the names of the runners' files in a folder tell."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return set()
    own = (name for name in names if name.startswith("runner.") and name.endswith(ending))
    stems = (name.removeprefix("runner.").removesuffix(ending) for name in own)
    return {stem.replace("-", ":") for stem in stems if stem and stem != ending.removeprefix(".")}
