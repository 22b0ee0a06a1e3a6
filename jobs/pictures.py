"""Pictures that a request names: in which ways, and whether its model can do what they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from msgspec import UNSET

from core.errors import InvalidRequest
from core.strict_json import shown
from jobs.catalog import Catalog
from jobs.ids import is_image_id
from jobs.picture_fields import JobPicture
from jobs.schema import DroppedRequest, GenerateRequest

#: The fields of a request that name a picture.
FIELDS: Final = ("image", "mask")
#: The largest file of a picture, in bytes: more than any of MOST_PIXELS that a camera or a model makes.
MOST_BYTES: Final = 20 << 20
#: The longest data: URL, in characters: a picture of 3 MiB. Larger ones are uploaded, or dropped as files.
LONGEST_DATA_URL: Final = 4 << 20
_INPUT_ID: Final = re.compile(r"in_[0-9a-f]{64}", re.ASCII)
#: A file of its own beside a dropped job: what names it must not lead elsewhere, nor be a job itself.
_FILE_NAME: Final = re.compile(r"[^/\\\x00-\x1f]{1,200}\.(png|jpe?g|webp)", re.IGNORECASE)


class UnreadablePicture(InvalidRequest):
    """What was sent can be decoded as no picture, or not as a whole one."""


@dataclass(frozen=True)
class FoundPictures:
    """The pictures of a request, by its fields, and the files of those that are still to be stored."""

    by_field: Mapping[str, JobPicture] = field(default_factory=dict)
    new: tuple[bytes, ...] = ()


#: Reads a file that lies beside a dropped one, by its name.
ReadBeside = Callable[[str], bytes]


class PictureTaker(Protocol):
    """Finds the pictures of a request, and stores them: see `service.pictures`."""

    def find(self, request: GenerateRequest, read_beside: ReadBeside) -> FoundPictures:
        """The pictures of a valid request; stores nothing. Raises InvalidRequest, OSError."""

    def id_of(self, raw: bytes) -> str:
        """The id that a picture has, or would have; raises InvalidRequest."""

    def hold(self, found: FoundPictures) -> None:
        """Store them; called just before the job that names them is stored. Raises InvalidRequest, OSError."""


class Reference(StrEnum):
    """In which way a picture is named."""

    INPUT = "in_"
    IMAGE = "img_"
    DATA = "data:"
    #: The name of a file that lies beside a dropped one.
    FILE = "file"


def input_id(sha256: str) -> str:
    """The id of the picture that came in with this content."""
    return f"in_{sha256}"


def is_input_id(text: str) -> bool:
    """Whether `text` may name a picture that came in, and so a file."""
    return _INPUT_ID.fullmatch(text) is not None


def named(request: GenerateRequest) -> Iterator[tuple[str, str]]:
    """The fields of a request that name a picture, and what they say."""
    for name in FIELDS:
        value: str | None = getattr(request, name)
        if value is not None:
            yield name, value


def reference(name: str, value: str, *, is_drop: bool) -> Reference:
    """In which way `value` names a picture; raises InvalidRequest."""
    if value.startswith("data:"):
        if len(value) > LONGEST_DATA_URL:
            raise InvalidRequest(
                f"{name} is a data: URL of {len(value)} characters; at most {LONGEST_DATA_URL} are allowed. "
                "Send a larger picture to /api/inputs, and name it by the id that is answered.",
                name,
            )
        return Reference.DATA
    if is_input_id(value):
        return Reference.INPUT
    if is_image_id(value):
        return Reference.IMAGE
    if is_drop and _FILE_NAME.fullmatch(value) and not value.startswith("."):
        return Reference.FILE
    what = "the id of an input (in_...) or of an image (img_...), or a data: URL"
    what += ", or the name of a .png, .jpg or .webp file beside this one" if is_drop else "; nothing is fetched"
    raise InvalidRequest(f"{name} is {shown(value)}; it must be {what}.", name)


def check(request: GenerateRequest, key: str, catalog: Catalog) -> None:
    """Raise InvalidRequest where the pictures of a request are not named as they may be, or its model has no use."""
    for name, value in named(request):
        reference(name, value, is_drop=isinstance(request, DroppedRequest))
    changed = "mask" if request.mask is not None else "settings.outpaint" if has_margins(request) else None
    if request.image is None and changed is not None:
        raise InvalidRequest(f"{changed} is given without image; send the picture that it is about.", changed)
    abilities = catalog.abilities(key)
    if changed is not None and not abilities.inpainting:
        raise _cannot(changed, "mend or continue pictures", key, _able(catalog, "inpainting"))
    if request.image is not None and changed is None and not abilities.image_to_image:
        raise _cannot("image", "begin from a picture", key, _able(catalog, "image_to_image"))
    if changed is None and request.image is None and not abilities.text_to_image:
        raise InvalidRequest(
            f"image is missing; {key} mends or continues pictures: send image, and mask or settings.outpaint.", "image"
        )


def has_margins(request: GenerateRequest) -> bool:
    """Whether a picture is to be continued beyond its edges."""
    margins = request.settings.outpaint
    return margins is not UNSET and margins is not None and margins.grown(0, 0) != (0, 0)


def _able(catalog: Catalog, ability: str) -> list[str]:
    return [key for key in catalog.available() if getattr(catalog.abilities(key), ability)]


def _cannot(field: str, what: str, key: str, able: list[str]) -> InvalidRequest:
    here = f"here can: {', '.join(able)}" if able else "no model here can"
    return InvalidRequest(f"{field} is given, but {key} cannot {what}; {here}.", field)
