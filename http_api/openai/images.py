"""`POST /v1/images/generations`: pictures in the answer, or as events while they are drawn."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import falcon
import msgspec
from falcon import Request, Response

from core.errors import CyberImageError
from http_api.door import Failure
from http_api.openai.answers import ImageEvent, ImagesAnswer, OpenAIImage, Usage
from http_api.openai.door import OpenAIErrorAnswer, detail
from http_api.openai.requests import ImageRequest, Translator, quality_of
from http_api.picture_calls import PictureCall, PictureCalls, encoded, failure_of
from http_api.server import blocking, event_stream, places
from http_api.server.errors import RESTART_WAIT, ApiError
from http_api.server.forwarded import whole_address
from http_api.server.request_body import read_json
from http_api.translation import read_json as read_body
from jobs.schema import GenerateRequest, State
from jobs.spool import Spool
from outputs.formats import Format, convert
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from service.errors import ClientGone, Restarting
from service.snapshot import JobSnapshot

#: What OpenAI calls the events, by the address.
GENERATION: Final = "image_generation"


class GenerationsResource:
    """Draws while the client waits."""

    def __init__(self, translator: Translator, calls: PictureCalls, pictures: Pictures) -> None:
        self._translator = translator
        self._calls = calls
        self._pictures = pictures

    def on_post(self, req: Request, resp: Response) -> None:
        """Submit the job, and answer with its pictures."""
        asked = read_body(read_json(req), ImageRequest)
        answer(req, resp, self._calls, self._pictures, asked, self._translator.request(asked), GENERATION)


def answer(
    req: Request,
    resp: Response,
    calls: PictureCalls,
    pictures: Pictures,
    asked: ImageRequest,
    request: GenerateRequest,
    name: str,
) -> None:
    """Draw `request`, and answer in the way that `asked` wants; events are called after `name`."""
    if not asked.stream:
        with calls.begin(req, request) as call:
            final = call.wait()
        failure = failure_of(final)
        if failure is not None:
            raise failure
        resp.media = pictures.answer(req, asked, final)
        return
    with ExitStack() as held:
        call = held.enter_context(calls.begin(req, request, places.STREAMS))
        event_stream.begin(resp, pictures.events(call, asked, name), held.pop_all().close)


class Pictures:
    """Stored pictures and previews in OpenAI's answers."""

    def __init__(self, spool: Spool, store: ImageStore) -> None:
        self._spool = spool
        self._store = store

    def answer(self, req: Request, asked: ImageRequest, final: JobSnapshot) -> ImagesAnswer:
        """The answer of a job that has its pictures."""
        if asked.response_format == "url":
            addresses = [whole_address(req, f"/api/get_image/{image.id}.png") for image in final.images]
            data = [OpenAIImage(url=url, seed=image.seed) for url, image in zip(addresses, final.images, strict=True)]
        else:
            contents = encoded(self._store, final.images, _format(asked), _quality(asked))
            data = [OpenAIImage(b64_json=it, seed=image.seed) for it, image in zip(contents, final.images, strict=True)]
        settings = final.job.effective_settings
        return ImagesAnswer(
            created=int(time.time()),
            data=data,
            output_format=_format(asked),
            quality=quality_of(asked),
            size=f"{settings.width}x{settings.height}",
        )

    def events(self, call: PictureCall, asked: ImageRequest, name: str) -> Iterator[bytes]:
        """Previews as they come, each image as soon as it is stored, and the error that the job ended with."""
        told = _Told(asked.partial_images or 0)
        yield event_stream.COMMENT  # the head goes out with it
        spoken = time.monotonic()
        try:
            for snapshot in call:
                for event in self._news(snapshot, told, asked, name):
                    yield event
                    spoken = time.monotonic()
                if time.monotonic() - spoken > event_stream.KEEP_ALIVE:
                    yield event_stream.COMMENT
                    spoken = time.monotonic()
                failure = failure_of(snapshot) if snapshot.state.is_final else None
                if failure is not None:
                    yield _error(failure)
        except ClientGone:
            return
        except Restarting as error:
            yield _error(ApiError(falcon.HTTP_503, str(error), wait=RESTART_WAIT, error_type="restarting"))
        except CyberImageError as error:
            yield _error(ApiError(falcon.HTTP_500, str(error)))

    def _news(self, snapshot: JobSnapshot, told: _Told, asked: ImageRequest, name: str) -> Iterator[bytes]:
        if told.wants_preview(snapshot):
            preview = self._spool.preview(snapshot.job.id)
            if preview is not None:
                content = blocking.run(lambda: convert(preview, _format(asked), _quality(asked)), blocking.READS)
                body = base64.b64encode(content).decode()
                event = _event(f"{name}.partial_image", body, asked, snapshot)
                yield _encoded(msgspec.structs.replace(event, partial_image_index=told.preview_sent(snapshot)))
        for image in told.new_images(snapshot):
            (body,) = encoded(self._store, [image], _format(asked), _quality(asked))
            event = _event(f"{name}.completed", body, asked, snapshot)
            yield _encoded(msgspec.structs.replace(event, usage=Usage()))


class _Told:
    """What of a job its stream has told."""

    def __init__(self, partial_images: int) -> None:
        self._wanted = partial_images
        self._previews = 0
        #: Of the current image.
        self._of_image = (0, 0)
        self._version: str | None = None
        self._images: set[str] = set()

    def wants_preview(self, snapshot: JobSnapshot) -> bool:
        """Whether a preview is due: the k-th of n once k of n + 1 parts of the steps are done, if new."""
        seen = snapshot.progress
        if snapshot.preview in (None, self._version) or snapshot.state is not State.PROCESSING or seen is None:
            return False
        number, sent = self._of_image
        sent = sent if number == seen.image_number else 0
        return sent < self._wanted and seen.step * (self._wanted + 1) >= (sent + 1) * seen.total_steps

    def preview_sent(self, snapshot: JobSnapshot) -> int:
        """Note that the preview of this snapshot is sent; returns its index."""
        number = snapshot.progress.image_number if snapshot.progress else 1
        self._of_image = (number, self._of_image[1] + 1 if self._of_image[0] == number else 1)
        self._version = snapshot.preview
        self._previews += 1
        return self._previews - 1

    def new_images(self, snapshot: JobSnapshot) -> list[Sidecar]:
        """The images that are stored and were not sent yet."""
        new = [image for image in snapshot.images if image.id not in self._images]
        self._images |= {image.id for image in new}
        return new


def _event(kind: str, body: str, asked: ImageRequest, snapshot: JobSnapshot) -> ImageEvent:
    settings = snapshot.job.effective_settings
    return ImageEvent(
        type=kind,
        b64_json=body,
        created_at=int(time.time()),
        output_format=_format(asked),
        quality=quality_of(asked),
        size=f"{settings.width}x{settings.height}",
    )


def _encoded(event: ImageEvent) -> bytes:
    return event_stream.event(event.type, msgspec.json.encode(event))


def _error(error: ApiError) -> bytes:
    failure = Failure(status=error.status_code, message=str(error.description), request_id=None, extra=error.extra)
    return event_stream.event("error", msgspec.json.encode(OpenAIErrorAnswer(error=detail(failure))))


def _format(asked: ImageRequest) -> Format:
    return asked.output_format or "png"


def _quality(asked: ImageRequest) -> int:
    return 100 if asked.output_compression is None else asked.output_compression
