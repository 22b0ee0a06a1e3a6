"""Images as the API shows them, from their sidecars."""

from __future__ import annotations

from http_api.api.answers import GalleryImage, MetadataAnswer, StatusImage, StatusImageMetadata, with_fields_of
from jobs.ids import image_folder
from outputs.sidecar import Sidecar


def file_path(sidecar: Sidecar) -> str:
    """The PNG's path below the outputs."""
    return f"{image_folder(sidecar.id)}/{sidecar.id}.png"


def in_status(sidecar: Sidecar) -> StatusImage:
    """An entry of `images` in a job's status."""
    return StatusImage(
        id=sidecar.id,
        file_path=file_path(sidecar),
        created_at=sidecar.created_at,
        metadata=with_fields_of(sidecar, StatusImageMetadata),
    )


def in_gallery(sidecar: Sidecar) -> GalleryImage:
    """An entry of the gallery."""
    return with_fields_of(sidecar, GalleryImage)


def metadata(sidecar: Sidecar) -> MetadataAnswer:
    """Everything that is known of an image: all that its sidecar holds, but the schema's number."""
    return with_fields_of(sidecar, MetadataAnswer, file_path=file_path(sidecar))
