"""The pictures of a request: found, made clean, and stored before the job that names them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from core.errors import InvalidRequest
from core.strict_json import shown
from jobs.picture_fields import JobPicture
from jobs.pictures import FIELDS, FoundPictures, ReadBeside, Reference, named, reference
from jobs.schema import GenerateRequest, Job
from outputs import inputs
from outputs.decoding import clean_png
from outputs.errors import DamagedImage, ImageNotFound
from outputs.inputs import DamagedInput, InputNotFound, InputStore
from outputs.store import ImageStore

_DATA_URL: Final = re.compile(r"data:image/(png|jpeg|webp);base64,", re.IGNORECASE)


class Pictures:
    """Finds what requests name. Any number of processes and threads may do so at once."""

    def __init__(self, store: InputStore, images: ImageStore) -> None:
        self._store = store
        self._images = images

    def find(self, request: GenerateRequest, read_beside: ReadBeside | None = None) -> FoundPictures:
        """The pictures of a valid request; stores nothing, and may take a second for each.

        A picture of the gallery is taken as it is now, so that it may be deleted while the job waits.
        `read_beside` reads a file that lies beside a dropped one, by its name. Raises InvalidRequest, OSError, and what
        that raises.
        """
        found, new = {}, []
        for name, value in named(request):
            picture, png = self._find(name, value, read_beside)
            found[name] = picture
            new += [png] if png is not None else []
        _check_sizes(found)
        return FoundPictures(found, tuple(new))

    def id_of(self, raw: bytes) -> str:
        """The id that a picture has, or would have; raises InvalidRequest."""
        return inputs.describe(clean_png(raw, "image")).id

    def hold(self, found: FoundPictures) -> None:
        """Store what is new, durably, and keep the rest from being swept: call it just before the job is stored.

        Raises InvalidRequest for one that was swept meanwhile, and OSError.
        """
        for png in found.new:
            self._store.put(png)
        for name, picture in found.by_field.items():
            try:
                self._store.use(picture.id)
            except InputNotFound as error:
                raise _gone(name, picture.id) from error

    def are_those_of(self, request: GenerateRequest, job: Job) -> bool:
        """Whether a request names the pictures of a job, although one may be deleted by now."""
        asked = dict(named(request))
        return all(self._is(asked.get(name), getattr(job, name)) for name in FIELDS)

    def _is(self, value: str | None, picture: JobPicture | None) -> bool:
        if value is None or picture is None:
            return value is None and picture is None
        if not value.startswith(Reference.DATA):
            return value in (picture.id, picture.source)
        return self.id_of(_data_of("image", value)) == picture.id

    def _find(self, name: str, value: str, read_beside: ReadBeside | None) -> tuple[JobPicture, bytes | None]:
        """A picture, and its PNG where that is still to be stored."""
        match reference(name, value, is_drop=read_beside is not None):
            case Reference.INPUT:
                return self._stored(name, value), None
            case Reference.IMAGE:
                png = clean_png(self._of_gallery(name, value), name)
                return _picture(png, source=value), png
            case Reference.DATA:
                png = clean_png(_data_of(name, value), name)
            case Reference.FILE:
                assert read_beside is not None  # noqa: S101 - or `reference` had refused it
                png = clean_png(read_beside(value), name)
        return _picture(png), png

    def _stored(self, name: str, value: str) -> JobPicture:
        try:
            found = self._store.look(value)
        except InputNotFound as error:
            raise _gone(name, value) from error
        except DamagedInput as error:
            raise InvalidRequest(
                f"{name} is {shown(value)}, whose file is damaged; send the picture again.", name
            ) from error
        return JobPicture(id=value, width=found.width, height=found.height)

    def _of_gallery(self, name: str, value: str) -> bytes:
        try:
            stream, _ = self._images.open(value)
        except ImageNotFound as error:
            raise InvalidRequest(f"{name} is {shown(value)}; there is no such image, or no more.", name) from error
        except DamagedImage as error:
            raise InvalidRequest(f"{name} is {shown(value)}, whose file is damaged; choose another.", name) from error
        with stream:
            return stream.read()


def _picture(png: bytes, source: str | None = None) -> JobPicture:
    found = inputs.describe(png)
    return JobPicture(id=found.id, width=found.width, height=found.height, source=source)


def _gone(name: str, identifier: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name} is {shown(identifier)}; there is no such picture, or no more. Send it to /api/inputs again.", name
    )


def _data_of(name: str, value: str) -> bytes:
    """The bytes in a data: URL; its word on what they are is not trusted, but must be one that is taken."""
    match = _DATA_URL.match(value)
    if match is None:
        raise InvalidRequest(
            f"{name} is {shown(value)}; a data: URL must begin with data:image/png;base64, (or jpeg or webp).", name
        )
    try:
        return base64.b64decode(value[match.end() :], validate=True)
    except binascii.Error as error:
        raise InvalidRequest(f"{name} is a data: URL whose content is not valid base64: {error}.", name) from error


def _check_sizes(found: Mapping[str, JobPicture]) -> None:
    image, mask = found.get("image"), found.get("mask")
    if image and mask and (image.width, image.height) != (mask.width, mask.height):
        raise InvalidRequest(
            f"mask is {mask.width}x{mask.height}; it must be as large as image, {image.width}x{image.height}.", "mask"
        )
