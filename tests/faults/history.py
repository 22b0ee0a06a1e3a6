"""The history checker: compares what was acknowledged with what is on the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from core import files
from core.layout import Layout
from jobs import ids
from jobs.pause import is_paused
from jobs.schema import FINAL_STATES, Job, State
from jobs.spool import Spool
from outputs.errors import DamagedImage, ImageNotFound
from outputs.inputs import InputStore
from outputs.sidecar import Sidecar
from outputs.store import ImageStore, digest
from tests.faults import scenario


class History:
    """What the runs of one data directory told, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        #: The failpoints that the last run passed, if it came to its end.
        self.points: list[str] = []

    def about(self, word: str) -> list[str]:
        """What followed a word: `about("accepted")` are the accepted ids."""
        return [line.split()[1] for line in self.lines if line.split()[0] == word]


def violations(data: Path, history: History, *, ended: bool) -> list[str]:
    """Every broken promise, in words. `ended` says that the last run came to its end."""
    spool = Spool(Layout(data))
    if not spool.layout.spool.exists():
        return [f"{job_id} was accepted and the spool is gone" for job_id in history.about("accepted")]
    found = [*_unreadable(spool), *_lost(spool, history), *_broken_images(spool, history), *_vanished(spool)]
    found += [*_not_set_aside(spool, ended=ended), *_broken_inputs(spool, ended=ended)]
    found += _unheard(spool, history)
    return [*found, *_unfinished(spool, history)] if ended else found


def _job_files(spool: Spool) -> Iterator[tuple[State, Path]]:
    """What lies in the place of a job, without what the scenario put there to be set aside."""
    for state in State:
        for path in (spool.layout.spool / state).glob("*.json"):
            if f"{state}/{path.name}" not in scenario.CORRUPT:
                yield state, path


def _states(spool: Spool) -> dict[str, list[State]]:
    places: dict[str, list[State]] = {}
    for state, path in _job_files(spool):
        places.setdefault(path.stem, []).append(state)
    return places


def _unreadable(spool: Spool) -> Iterator[str]:
    """P2: a visible file is whole."""
    for state, path in _job_files(spool):
        try:
            job = msgspec.json.decode(path.read_bytes(), type=Job)
        except ValueError as error:
            yield f"{state}/{path.name} is not whole: {error}"
        else:
            if state is State.PROCESSING and (not job.started_at or not job.attempts):
                yield f"{path.name} is processing without an attempt that is counted"
    for path in spool.layout.outputs.rglob("*.json"):
        try:
            msgspec.json.decode(path.read_bytes(), type=Sidecar)
        except ValueError as error:
            yield f"the sidecar {path.name} is not whole: {error}"
    for path in [*spool.layout.rejected.glob("*.reason.json"), *spool.layout.corrupt.glob("*.reason.json")]:
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            yield f"{path.name} is not whole: {error}"


def _lost(spool: Spool, history: History) -> Iterator[str]:
    """P1: what was acknowledged is there, once, and what was finished stays finished."""
    places = _states(spool)
    for job_id in history.about("accepted"):
        if job_id not in places:
            yield f"{job_id} was accepted and is lost"
    for job_id, states in places.items():
        if len(states) > 1:
            yield f"{job_id} is in {len(states)} states: {', '.join(states)}"
    for job_id in history.about("finished"):
        if not any(state.is_final for state in places.get(job_id, [])):
            yield f"{job_id} was finished and is {places.get(job_id)}"


def _broken_images(spool: Spool, history: History) -> Iterator[str]:
    """P2 and P3: committed images are whole, stay, and are not drawn again; deleted ones are gone and stay so."""
    store = ImageStore(spool.layout)
    deleted = history.about("deleted")
    for image in deleted:
        try:
            store.sidecar(image)
            yield f"{image} was deleted and is back"
        except (ImageNotFound, DamagedImage):
            pass
    for path in spool.layout.outputs.rglob("img_*.json"):
        if not store.is_committed(path.stem):
            yield f"{path.stem} has a sidecar and no whole PNG"
    for image in history.about("committed"):
        maybe_deleted = (_job_of(spool, image), int(image[-1])) in scenario.DELETED
        if not maybe_deleted and not store.is_committed(image):
            yield f"{image} was committed and is gone"
    for place, line in enumerate(history.lines):
        word, image, *_ = line.split()
        if word == "drawing" and f"committed {image}" in history.lines[:place]:
            yield f"{image} was drawn again after its commit"
        if word == "drawing" and f"deleted {image}" in history.lines[:place]:
            yield f"{image} was drawn again after it was deleted"


def _unheard(spool: Spool, history: History) -> Iterator[str]:
    """P1: a pause, a move and what people say of an image last once they were acknowledged."""
    store = ImageStore(spool.layout)
    for image in history.about("annotated"):
        found = store.sidecar(image)
        if not found.favourite or found.labels != ["kept"]:
            yield f"{image} was annotated and says {found.favourite}, {found.labels}"
    words = [line.split()[0] for line in history.lines]
    last = max((place for place, word in enumerate(words) if word in ("paused", "resuming")), default=None)
    if last is not None and words[last] == "paused" and not is_paused(spool.layout):
        yield "the queue was paused and is not"
    for job_id in history.about("moved"):
        ended = any(spool.holds(state, job_id) for state in FINAL_STATES)
        if not ended and spool.turns.of(job_id) != scenario.MOVED:
            yield f"{job_id} was moved and has the key {spool.turns.of(job_id)}"


def _job_of(spool: Spool, image: str) -> str | None:
    order = ids.image_order(image)
    for _, path in _job_files(spool):
        if json.loads(path.read_bytes()).get("order") == order:
            return path.stem
    return None


def _vanished(spool: Spool) -> Iterator[str]:
    """P4: each dropped file is still there, or a job, or refused with its bytes and a reason."""
    sources = [job.prompt for job in _jobs(spool) if job.source == "file"]
    for name, prompt in (("named.json", "dropped"), ("nameless.json", "nameless")):
        count = sources.count(prompt)
        if count > 1:
            yield f"{name} became {count} jobs"
        if count == 0 and not (spool.layout.incoming / name).exists():
            yield f"{name} vanished"
    if "dropped" not in sources and any(not (spool.layout.incoming / name).exists() for name in scenario.BESIDE):
        yield "the picture of named.json vanished"
    for name, content in scenario.REFUSED.items():
        if (spool.layout.incoming / name).exists():
            continue
        kept = _kept(spool, name, content)
        if not kept:
            yield f"{name} vanished"
        elif not any(path.with_name(f"{path.name}.reason.json").exists() for path in kept):
            yield f"{name} was refused without a reason"


def _broken_inputs(spool: Spool, *, ended: bool) -> Iterator[str]:
    """A picture that came in is whole, is there for as long as a job names it, and goes in the end if none does."""
    store = InputStore(spool.layout)
    for path in spool.layout.inputs.rglob("*.png"):
        if digest(path.read_bytes()) != path.stem:
            yield f"the picture {path.name} is not whole"
    named = {job.image.id for job in _jobs(spool) if job.image is not None}
    for identifier in named:
        if not store.has(identifier):
            yield f"a job names {identifier}, which is not there"
    old = [path for path in spool.layout.inputs.rglob("*.png") if path.stat().st_mtime == 0]
    if ended and old:
        yield f"{old[0].name}, which no job names, was not swept"


def _not_set_aside(spool: Spool, *, ended: bool) -> Iterator[str]:
    """What can be no job is kept with its bytes, in the end beside a reason, and out of the way."""
    for place, content in scenario.CORRUPT.items():
        found, kept = spool.layout.spool / place, spool.layout.corrupt / Path(place).name
        if not any(path.exists() and path.read_bytes() == content for path in (found, kept)):
            yield f"{place} vanished"
        if ended and found.exists():
            yield f"{place} is still in the way"
        if ended and not kept.with_name(f"{kept.name}.reason.json").exists():
            yield f"{place} was set aside without a reason"


def _kept(spool: Spool, name: str, content: bytes) -> list[Path]:
    """Where a refused file lies: under its name, or under a numbered one if a record had taken that."""
    stem, _, extension = name.partition(".")
    homes = spool.layout.rejected.glob(f"{stem}*.{extension}")
    return [path for path in homes if not path.name.endswith(".reason.json") and path.read_bytes() == content]


def _jobs(spool: Spool) -> Iterator[Job]:
    for _, path in _job_files(spool):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Job)
        except ValueError:
            continue  # reported by _unreadable


def _unfinished(spool: Spool, history: History) -> Iterator[str]:
    """P3 and P5: after a run that came to its end everything is as if there had been no crash."""
    store = ImageStore(spool.layout)
    places = _states(spool)
    expected = {
        "one": "completed",
        "two": "completed",
        "named": "completed",
        "bad-luck": "failed",
        "regret": "cancelled",
        "pruned": "completed",
    }
    for job_id, state in expected.items():
        if places.get(job_id) != [State(state)]:
            yield f"{job_id} is {places.get(job_id)} and not {state}"
    others = 2  # one dropped, one submitted without a name
    if len(places) != len(expected) + others:
        yield f"there are {len(places)} jobs and not {len(expected) + others}: {sorted(places)}"
    for job in _jobs(spool):
        begun = history.about("beginning").count(job.id)
        if job.attempts > begun:
            yield f"{job.id} counts {job.attempts} attempts and began {begun}"
        if job.outcome == "completed":
            yield from _missing_images(store, job)
    yield from _remains(spool, history)
    for folder in ("tmp", "locks", "progress", "cancel", "deleted", "deleting", "damaged", "turns", "incoming"):
        if left := sorted(path.name for path in (spool.layout.spool / folder).iterdir()):
            yield f"{folder}/ is not empty: {left}"


def _remains(spool: Spool, history: History) -> Iterator[str]:
    """A deletion that was acknowledged or begun is complete after the recovery, and no file lacks its sidecar."""
    deleted = history.about("deleted")
    for path in sorted(spool.layout.outputs.rglob("img_*")):
        if path.stem in deleted:
            yield f"{path.name} was deleted and is still there"
        elif not path.with_suffix(".json").exists():
            yield f"{path.name} has no sidecar"


def _missing_images(store: ImageStore, job: Job) -> Iterator[str]:
    for number in range(1, job.effective_settings.num_images + 1):
        image = ids.image_id(job.order, number)
        if (job.id, number) in scenario.DELETED:
            if store.sidecar_path(image).exists():
                yield f"{image} was not deleted"
        elif not store.is_committed(image) or digest(files.read(store.path(image))) != digest(scenario.picture(image)):
            yield f"{image} of the completed job {job.id} is not whole"
