"""`POST /v1/images/edits` and `/v1/images/variations`: pictures from a picture, sent as a form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from falcon import Request, Response
from msgspec import Meta

from core.errors import InvalidRequest
from core.strict_json import SIZE_LIMIT
from http_api.openai.images import Pictures, answer
from http_api.openai.requests import ImageRequest, Translator
from http_api.picture_calls import PictureCalls
from http_api.picture_inputs import PictureInputs, names_of
from http_api.server.request_body import FORM_BYTES, Part, read_form
from http_api.translation import read
from jobs.pictures import MOST_BYTES
from outputs import masks

#: What OpenAI calls the events of both addresses.
EDIT: Final = "image_edit"
#: An image, a mask, and what is around them.
BODY_LIMIT: Final = 2 * MOST_BYTES + FORM_BYTES + SIZE_LIMIT
_MOST_PARTS: Final = 32
_IMAGES: Final = ("image", "image[]")

File = Annotated[bytes, Meta(description="A PNG, JPEG or WebP")]


class EditRequest(ImageRequest, frozen=True, kw_only=True):
    """The form of `POST /v1/images/edits`; other fields are ignored."""

    image: Annotated[File, Meta(description="What to begin from; may be called image[]")]
    mask: Annotated[File, Meta(description="As large as image, transparent where to draw anew")] | None = None
    strength: Annotated[float, Meta(description="0 to 1: how far to go from image; absent: the model's own")] | None = (
        None
    )


class EditsResource:
    """Draws from a picture while the client waits."""

    def __init__(self, translator: Translator, calls: PictureCalls, pictures: Pictures, inputs: PictureInputs) -> None:
        self._translator = translator
        self._calls = calls
        self._pictures = pictures
        self._inputs = inputs

    def on_post(self, req: Request, resp: Response) -> None:
        """Take the picture in, submit the job, and answer with its pictures."""
        asked = _asked(read_form(req, _MOST_PARTS))
        sent = {"image": self._inputs.clean(asked.image, "image")}
        if asked.mask is not None:
            sent["mask"] = self._inputs.clean(asked.mask, "mask", lambda png: masks.from_transparency(png, "mask"))
        request = self._translator.request(asked, names_of(sent), asked.strength)
        self._inputs.store(req, sent)
        answer(req, resp, self._calls, self._pictures, asked, request, EDIT)


def _asked(parts: Iterable[Part]) -> EditRequest:
    texts: dict[str, str | bytes] = {}
    images: list[bytes] = []
    for part in parts:
        if part.name in _IMAGES:
            images.append(part.content)
        elif part.name == "mask":
            texts["mask"] = part.content
        else:
            texts[part.name] = _text(part)
    if len(images) > 1:
        raise InvalidRequest(f"image is given {len(images)} times; the models here begin from one.", "image")
    if images:
        texts["image"] = images[0]
    if "prompt" not in texts:
        raise InvalidRequest("prompt is missing; the models here need words to a picture, too.", "prompt")
    return read(texts, EditRequest, strict=False)


def _text(part: Part) -> str:
    try:
        return part.content.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{part.name[:80]} is not UTF-8.", part.name[:80]) from error
