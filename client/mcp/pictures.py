"""How images are shown: a small one to look at, and a link to the full one."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from mcp_types import (
    BlobResourceContents,
    ContentBlock,
    ImageContent,
    ReadResourceResult,
    Resource,
    ResourceLink,
    ResourceTemplate,
    TextContent,
)

from client.errors import ClientError, RejectedInput
from client.mcp.api import Api
from client.results import GalleryImage

_SCHEME: Final = "cyberimage://image/"
TEMPLATE: Final = ResourceTemplate(
    uri_template=f"{_SCHEME}{{image_id}}",
    name="image",
    title="A picture of the gallery",
    description="The full PNG of an image, by its id.",
    mime_type="image/png",
)
#: A small picture of more bytes than this is not sent: it goes into the context of a language model.
LARGEST_PREVIEW: Final = 256 << 10


def uri(image_id: str) -> str:
    """The address of an image among the resources."""
    return f"{_SCHEME}{image_id}"


def image_id_of(address: str) -> str:
    """The image that an address names; raises RejectedInput if it names none."""
    identifier = unquote(address.removeprefix(_SCHEME))
    if not address.startswith(_SCHEME) or not identifier:
        raise RejectedInput(f"{address!r} is no resource of this server; images are {TEMPLATE.uri_template}.")
    return identifier


def link(image_id: str, about: str) -> ResourceLink:
    """A link to the full image."""
    return ResourceLink(uri=uri(image_id), name=f"{image_id}.png", description=about, mime_type="image/png")


def resource(image: GalleryImage) -> Resource:
    """An image as an entry of the resources."""
    return Resource(
        uri=uri(image.id),
        name=f"{image.id}.png",
        title=image.prompt[:100],
        description=f"{image.prompt} ({image.model_id}, {image.width}x{image.height}, {image.created_at})",
        mime_type="image/png",
    )


async def small(api: Api, image_ids: Iterable[str]) -> list[ContentBlock]:
    """Small pictures of images; a sentence in the place of one that cannot be had."""
    return [await _small(api, image_id) for image_id in image_ids]


async def _small(api: Api, image_id: str) -> ContentBlock:
    try:
        kind, content = await api.ask(lambda client: client.thumbnail(image_id))
    except ClientError as error:
        return TextContent(text=f"{image_id} cannot be shown: {error.message}")
    if len(content) > LARGEST_PREVIEW:
        return TextContent(text=f"{image_id} is not shown here: its small version has {len(content)} bytes.")
    return ImageContent(data=base64.b64encode(content).decode("ascii"), mime_type=kind)


async def read(api: Api, address: str) -> ReadResourceResult:
    """The full image at an address; raises ClientError."""
    image_id = image_id_of(address)
    content = await api.ask(lambda client: client.image(image_id))
    blob = base64.b64encode(content).decode("ascii")
    return ReadResourceResult(contents=[BlobResourceContents(uri=address, mime_type="image/png", blob=blob)])
