"""`POST /sdapi/v1/txt2img` and `/img2img`: pictures in the answer."""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec
from falcon import Request, Response

from core.errors import InvalidRequest
from core.strict_json import SIZE_LIMIT, parse_object
from http_api.a1111.answers import DrawnAnswer, DrawnInfo
from http_api.a1111.requests import DrawRequest, PictureRequest, Translator
from http_api.api.generate import client_of
from http_api.picture_calls import PictureCalls, encoded, failure_of
from http_api.picture_inputs import PictureInputs, names_of
from http_api.server import blocking
from http_api.server.request_body import read_json
from http_api.translation import read
from jobs.pictures import MOST_BYTES
from jobs.schema import GenerateRequest, State
from outputs import a1111, masks
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from service.callers import Callers
from service.snapshot import JobSnapshot

#: A picture and a mask in base64, and what is around them.
BODY_LIMIT: Final = 2 * MOST_BYTES * 4 // 3 + SIZE_LIMIT
#: What the web UI begins with where none is sent.
_STRENGTH: Final = 0.75


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


class ImageToImageResource:
    """From a picture."""

    def __init__(self, translator: Translator, drawing: Drawing, inputs: PictureInputs) -> None:
        self._translator = translator
        self._drawing = drawing
        self._inputs = inputs

    def on_post(self, req: Request, resp: Response) -> None:
        """Take the picture in, draw, and answer with the pictures."""
        sent = parse_object(read_json(req))
        asked = read(sent, PictureRequest)
        pictures = self._pictures(asked)
        strength = _STRENGTH if asked.denoising_strength is None else asked.denoising_strength
        request = self._translator.request(asked, self._drawing.chosen(req), names_of(pictures), strength)
        self._inputs.store(req, pictures)
        shown = {**sent, "init_images": None, "mask": None}
        resp.media = self._drawing.answer(req, request, shown, sends=asked.send_images is not False)

    def _pictures(self, asked: PictureRequest) -> dict[str, bytes]:
        if len(asked.init_images) != 1:
            number = len(asked.init_images)
            raise InvalidRequest(f"init_images has {number} pictures; the models here begin from one.", "init_images")
        found = {"image": self._inputs.clean(decoded(asked.init_images[0], "init_images"), "init_images")}
        if asked.mask:
            mask = decoded(asked.mask, "mask")
            found["mask"] = (
                self._inputs.clean(mask, "mask", masks.inverted)
                if asked.inpainting_mask_invert
                else self._inputs.clean(mask, "mask")
            )
        return found


def decoded(text: str, field: str) -> bytes:
    """The bytes of a picture in base64, with or without the head of a data URL; raises InvalidRequest."""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except ValueError as error:
        raise InvalidRequest(f"{field} is not valid base64: {error}.", field) from error


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
        denoising_strength=settings.strength,
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
