"""`POST /sdapi/v1/txt2img`: pictures in the answer."""

from __future__ import annotations

from typing import Any

import msgspec
from falcon import Request, Response

from core.strict_json import parse_object
from http_api.a1111.answers import DrawnAnswer, DrawnInfo
from http_api.a1111.requests import DrawRequest, Translator
from http_api.api.generate import client_of
from http_api.picture_calls import PictureCalls, encoded, failure_of
from http_api.server import blocking
from http_api.server.request_body import read_json
from http_api.translation import read
from jobs.schema import GenerateRequest, State
from outputs import a1111
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from service.callers import Callers
from service.snapshot import JobSnapshot


class Drawing:
    """Draws while the client waits; what the addresses share that do so."""

    def __init__(self, calls: PictureCalls, callers: Callers, store: ImageStore) -> None:
        self._calls = calls
        self._callers = callers
        self._store = store

    def chosen(self, req: Request) -> str | None:
        """The model that the caller of `req` has chosen before."""
        return blocking.run(lambda: self._callers.options(client_of(req).scope).model, blocking.READS)

    def answer(self, req: Request, request: GenerateRequest, sent: dict[str, Any], *, sends: bool) -> DrawnAnswer:
        """Submit the job, and wait for its pictures; one that was interrupted has those that were finished."""
        with (
            self._calls.begin(req, request) as call,
            self._callers.calling(client_of(req).scope, call.job.id),
        ):
            final = call.wait()
        failure = failure_of(final)
        if failure is not None and final.state is not State.CANCELLED:
            raise failure
        images = encoded(self._store, final.images) if sends else []
        info = msgspec.json.encode(_info(final)).decode()
        return DrawnAnswer(images=images, parameters=sent, info=info)


class TextToImageResource:
    """From words."""

    def __init__(self, translator: Translator, drawing: Drawing) -> None:
        self._translator = translator
        self._drawing = drawing

    def on_post(self, req: Request, resp: Response) -> None:
        """Draw, and answer with the pictures."""
        sent = parse_object(read_json(req))
        asked = read(sent, DrawRequest)
        request = self._translator.request(asked, self._drawing.chosen(req))
        resp.media = self._drawing.answer(req, request, sent, sends=asked.send_images is not False)


def _info(final: JobSnapshot) -> DrawnInfo:
    job, settings = final.job, final.job.effective_settings
    seeds = [image.seed for image in final.images] or [settings.seed]
    negative = job.negative_prompt or ""
    return DrawnInfo(
        prompt=job.prompt,
        all_prompts=[job.prompt] * len(seeds),
        negative_prompt=negative,
        all_negative_prompts=[negative] * len(seeds),
        seed=seeds[0],
        all_seeds=seeds,
        all_subseeds=[-1] * len(seeds),
        width=settings.width,
        height=settings.height,
        sampler_name=_sampler(final.images[0]) if final.images else "",
        cfg_scale=settings.guidance_scale,
        steps=settings.num_inference_steps,
        batch_size=settings.num_images,
        sd_model_name=job.model_id,
        extra_generation_params={"Job": job.id, **({"Warnings": job.warnings} if job.warnings else {})},
        infotexts=[a1111.parameters(image) for image in final.images],
        job_timestamp=timestamp(job.created_at),
        version=_version(final.images),
    )


def timestamp(moment: str) -> str:
    """The web UI's form of a time, `20261125183000`, of one in RFC 3339."""
    return "".join(character for character in moment if character.isdigit())[:14]


def _sampler(image: Sidecar) -> str:
    return a1111.sampler(image.scheduler, image.scheduler_options)[0] or ""


def _version(images: Any) -> str:
    return f"CyberImage {images[0].versions.get('cyberimage', '')}".strip() if images else "CyberImage"
