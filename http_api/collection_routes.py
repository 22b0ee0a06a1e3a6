"""The table of routes of images as a collection: what people say of them, and several at once."""

from __future__ import annotations

from typing import Final

from http_api.access import Scope
from http_api.api import answers
from http_api.api.archive import ArchiveResource
from http_api.api.gallery import LabelResource
from http_api.api.images import (
    DeleteImagesResource,
    FavouriteResource,
    ImageLabelResource,
    LabelRequest,
    ManyImages,
)
from http_api.route import Operation, Route
from http_api.routes import IMAGES

ROUTES: Final = (
    Route(
        "/api/labels",
        IMAGES,
        lambda context: LabelResource(context.services.images),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="List the labels",
            description="What images are labelled with, and how many have each.",
            answers={200: answers.LabelsAnswer},
        ),
    ),
    Route(
        "/api/images/download",
        IMAGES,
        lambda context: ArchiveResource(context.services.store),
        Operation(
            method="POST",
            scope=Scope.READ,
            summary="Download several images",
            description="A zip file of their PNGs, named by day and prompt.",
            body=ManyImages,
            answers={200: "application/zip"},
            errors=(404,),
        ),
    ),
    Route(
        "/api/images/delete",
        IMAGES,
        lambda context: DeleteImagesResource(context.services.spool, context.services.store),
        Operation(
            method="POST",
            scope=Scope.ADMIN,
            summary="Delete several images",
            description="Their jobs stay. Images that are gone are no error.",
            body=ManyImages,
            answers={200: answers.DeletedAnswer},
        ),
    ),
    Route(
        "/api/image/{image_id}/favourite",
        IMAGES,
        lambda context: FavouriteResource(context.services.store),
        Operation(
            method="PUT",
            scope=Scope.SUBMIT,
            summary="Make an image a favourite",
            description="Kept with the image; the PNG stays as it is.",
            answers={200: answers.GalleryImage},
        ),
        Operation(
            method="DELETE",
            scope=Scope.SUBMIT,
            summary="Make an image no favourite",
            description="The image stays.",
            answers={200: answers.GalleryImage},
        ),
    ),
    Route(
        "/api/image/{image_id}/labels",
        IMAGES,
        lambda context: ImageLabelResource(context.services.store),
        Operation(
            method="PUT",
            scope=Scope.SUBMIT,
            summary="Label an image",
            description="In place of the labels that it has; an empty list takes them away.",
            body=LabelRequest,
            answers={200: answers.GalleryImage},
        ),
    ),
)
