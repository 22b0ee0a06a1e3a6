"""Makes a realistic data directory of any size: finished jobs with their images, spread over the days.

    python -m bench.generate_data FOLDER --jobs 100000

Writes directly and without syncing, so it is fast and only for trying and measuring. The PNG files are
one small picture under many names (hard links), so a million images need space for their sidecars only.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from core.layout import Layout
from jobs import ids
from jobs.schema import EffectiveSettings, Job, JobError, State, encode
from jobs.spool import Spool
from outputs.sidecar import Sidecar
from outputs.store import digest

MODELS = ("demo", "flux-1", "flux-2", "sd-3.5")
#: Occurs in ten prompts, however many there are.
RARE_WORD = "quetzalcoatlus"
#: Occurs in one prompt of twenty.
COMMON_WORD = "lighthouse"
JOBS_PER_DAY = 1000
_LINKS_PER_FILE = 60_000
_SUBJECTS = """
castle river mountain forest neon city street night sunset storm ocean island desert garden temple
ancient modern robot knight dragon dancer musician portrait landscape aerial close detailed soft
golden crimson azure emerald misty dramatic lighting cinematic watercolor oil painting photograph
sketch style wide angle lens reflection snow autumn spring winter summer market train bridge harbor
tower window door lantern shadow light
""".split()  # noqa: SIM905
_SYLLABLES = "an be cor dal el fi gra hol in jo ka lum mor ne or pal qui ras sil tan ur ves wil yar zen".split()  # noqa: SIM905


def vocabulary(chance: random.Random, size: int = 5000) -> tuple[list[str], list[float]]:
    """Words and how often each is used: few are common, most are rare, as in real prompts."""
    words = list(_SUBJECTS)
    while len(words) < size:
        words.append("".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))))
    return words, list(itertools.accumulate(1 / (rank + 10) for rank in range(size)))


def picture() -> bytes:
    """A small real PNG."""
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    Image.new("RGB", (64, 64), (40, 80, 160)).save(stream, "PNG")
    return stream.getvalue()


class Generator:
    """Writes jobs and images into a data directory. The same `seed` gives the same prompts."""

    def __init__(self, data: Path, *, per_day: int = JOBS_PER_DAY, seed: int = 1, now: float | None = None) -> None:
        self.spool = Spool(Layout(data))
        self._per_day = per_day
        self._chance = random.Random(seed)
        self._now = time.time() if now is None else now
        self._words, self._frequencies = vocabulary(self._chance)
        self._png = picture()
        self._hash = digest(self._png)
        self._source: Path | None = None
        self._links = 0

    def run(self, jobs: int, images: bool = True) -> None:
        """Write `jobs` finished jobs, one in twenty failed, each completed one with one image."""
        self.spool.prepare(create_anyway=True)
        rare = set(self._chance.sample(range(jobs), min(10, jobs)))
        for number, job in enumerate(self._jobs(jobs, rare)):
            state = State.FAILED if number % 20 == 7 else State.COMPLETED
            (self.spool.layout.spool / state / f"{job.id}.json").write_bytes(encode(_finished(job, state)))
            if images and state is State.COMPLETED:
                self._write_image(job)
        if self._source is not None:
            self._source.unlink()

    def pending(self, jobs: int) -> list[Job]:
        """Write `jobs` pending jobs, accepted now."""
        made = []
        for _ in range(jobs):
            job = self._job(self.spool.clock.issue(), "a castle")
            (self.spool.layout.spool / State.PENDING / f"{job.id}.json").write_bytes(encode(job))
            made.append(job)
        return made

    def _jobs(self, amount: int, rare: set[int]) -> Iterator[Job]:
        step = 86400 / self._per_day
        for number in range(amount):
            moment = self._now - (amount - number) * step
            yield self._job(_order(moment, self._chance), self._prompt(number, rare))

    def _prompt(self, number: int, rare: set[int]) -> str:
        words = self._chance.choices(self._words, cum_weights=self._frequencies, k=45)
        if number % 20 == 3:
            words[5] = COMMON_WORD
        if number in rare:
            words[7] = RARE_WORD
        return " ".join(words)

    def _job(self, order: str, prompt: str) -> Job:
        return Job(
            id=order,
            order=order,
            source="http",
            model_id=self._chance.choice(MODELS),
            prompt=prompt,
            effective_settings=EffectiveSettings(
                num_images=1,
                num_inference_steps=30,
                guidance_scale=7.5,
                height=64,
                width=64,
                max_sequence_length=512,
                seed=self._chance.randrange(2**63),
            ),
            created_at=ids.timestamp(ids.accepted_at(order)),
        )

    def _write_image(self, job: Job) -> None:
        name = ids.image_id(job.order, 1)
        folder = self.spool.layout.outputs / ids.image_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        os.link(self._link_source(), folder / f"{name}.png")
        (folder / f"{name}.json").write_bytes(encode(self._sidecar(job, name)))

    def _link_source(self) -> Path:
        if self._source is None or self._links >= _LINKS_PER_FILE:
            if self._source is not None:
                self._source.unlink()
            self._source = self.spool.layout.temporary / f"{os.getpid()}-picture"
            self._source.write_bytes(self._png)
            self._links = 0
        self._links += 1
        return self._source

    def _sidecar(self, job: Job, name: str) -> Sidecar:
        made = ids.accepted_at(job.order)
        return Sidecar(
            id=name,
            job_id=job.id,
            order=job.order,
            model_id=job.model_id,
            model_source="example/model",
            prompt=job.prompt,
            settings=job.effective_settings,
            seed=job.effective_settings.seed,
            image_number=1,
            total_images=1,
            attempt=1,
            width=64,
            height=64,
            created_at=ids.timestamp(made),
            generation_time=made.timestamp(),
            duration_seconds=4.2,
            device="cuda",
            dtype="bfloat16",
            versions={"torch": "2.13.0", "diffusers": "0.42.1"},
            size_bytes=len(self._png),
            sha256=self._hash,
        )


def _order(moment: float, chance: random.Random) -> str:
    ticks = int(moment * 1000 * 4096)
    digits = f"{ticks // 4096:012x}7{ticks % 4096:03x}{0b10 << 62 | chance.getrandbits(62):016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _finished(job: Job, state: State) -> Job:
    began = ids.accepted_at(job.order)
    error = (
        JobError(type="out_of_memory", message="The device has too little memory.") if state is State.FAILED else None
    )
    return job.evolve(
        attempts=1,
        started_at=ids.timestamp(began),
        completed_at=ids.timestamp(datetime.fromtimestamp(began.timestamp() + 4.5, UTC)),
        duration_seconds=4.5,
        outcome=state.value,
        error=error,
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.generate_data", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the data directory to fill")
    parser.add_argument("--jobs", type=int, default=100_000, help="finished jobs; 95 %% of them have an image")
    parser.add_argument("--per-day", type=int, default=JOBS_PER_DAY, help="jobs per day, up to now")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same prompts")
    options = parser.parse_args()
    began = time.monotonic()
    Generator(options.folder, per_day=options.per_day, seed=options.seed).run(options.jobs)
    print(f"{options.jobs} jobs in {time.monotonic() - began:.1f} s; the indexes follow when a program starts.")


if __name__ == "__main__":
    main()
