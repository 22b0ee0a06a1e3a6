"""The API as Python methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict, Unpack
from uuid import uuid4

import httpx
import msgspec

from client.errors import UnexpectedAnswer
from client.job_wait import JobWait
from client.results import (
    Cancellation,
    Enrichment,
    GalleryImage,
    GalleryPage,
    ImageMetadata,
    Input,
    JobOrder,
    JobPage,
    JobStatus,
    JobSummary,
    Me,
    Models,
    Move,
    Pause,
    Queue,
    Reset,
    Submission,
)
from client.settings import PictureSettings, as_sent
from client.transport import Result, Transport, decoded, segment

DEFAULT_URL: Final = "http://127.0.0.1:5050"
#: A file, its bytes, or the id of a picture that the server has.
Picture = Path | bytes | str
_PNG: Final = b"\x89PNG\r\n\x1a\n"


class GalleryFilters(TypedDict, total=False):
    """Which images are meant; what is None does not matter."""

    search: str | None
    model: str | None
    label: str | None
    favourite: bool


class CyberImageClient:
    """A CyberImage server.

    `url` is its address, with or without `/api`; `api_key` is sent as a bearer token, where the server
    asks for a key; `timeout` is the seconds to wait for one answer. Every method raises a ClientError if it cannot
    do what it says. Reading, and submitting (which carries an Idempotency-Key), is tried again after a lost
    connection; nothing else is. Not to be shared between threads.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        timeout: float = 30.0,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._given = (url, api_key, timeout, transport)
        self._transport = Transport(url, api_key, timeout, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address, without `/api`."""
        return self._transport.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def another(self) -> CyberImageClient:
        """Another client of the same server, for another thread."""
        url, api_key, timeout, transport = self._given
        return CyberImageClient(url, api_key, timeout, transport=transport)

    def description(self) -> dict[str, Any]:
        """The server's description of itself, in OpenAPI."""
        return self._get(dict[str, Any], "/api/openapi.json")

    def models(self) -> Models:
        """The catalog."""
        return self._get(Models, "/api/models")

    def generate(
        self,
        prompt: str,
        *,
        model: str | None = None,
        negative_prompt: str | None = None,
        image: Picture | None = None,
        mask: Picture | None = None,
        idempotency_key: str | None = None,
        **settings: Unpack[PictureSettings],
    ) -> Submission:
        """Submit a job; what is None is chosen by the server (the model: its default one).

        `image` is the picture to begin from, `mask` what of it is drawn anew (white): each a file, its bytes, or the id
        of one that the server has (`in_...`, `img_...`). Files are uploaded first.
        """
        request: dict[str, Any] = {
            "model_id": model if model is not None else self.models().default,
            "prompt": prompt,
            "settings": as_sent(settings),
        }
        if negative_prompt is not None:
            request["negative_prompt"] = negative_prompt
        request |= {name: self.named(it) for name, it in (("image", image), ("mask", mask)) if it is not None}
        return self.submit(request, idempotency_key=idempotency_key)

    def upload(self, picture: Path | bytes) -> Input:
        """Send a picture (PNG, JPEG or WebP) to draw from; again is the same. Raises OSError for a file."""
        raw = picture if isinstance(picture, bytes) else picture.read_bytes()
        headers = {"Content-Type": "application/octet-stream"}
        return self._transport.json(Input, "POST", "/api/inputs", body=raw, headers=headers, repeatable=True)

    def named(self, picture: Picture) -> str:
        """What a request calls a picture: its id, after sending it if the server does not have it."""
        return picture if isinstance(picture, str) else self.upload(picture).id

    def submit(self, request: Mapping[str, Any] | bytes, *, idempotency_key: str | None = None) -> Submission:
        """Submit a request as it is (the body of `POST /api/generate`, or its JSON).

        The same key again, with the same request, returns the same job; without one, a new key is made.
        """
        body = request if isinstance(request, bytes) else msgspec.json.encode(request)
        return self._post_once(Submission, "/api/generate", body, idempotency_key)

    def status(self, job_id: str, *, wait: int | None = None) -> JobStatus:
        """A job's status; with `wait`, not before the job has ended or N seconds (at most 60) are over."""
        path = f"/api/status/{segment(job_id)}"
        return self._get(JobStatus, path, params={"wait": wait}, extra_time=wait or 0)

    def wait(
        self,
        job_id: str,
        *,
        on_progress: Callable[[JobStatus], object] | None = None,
        timeout: float | None = None,
        patience: float = 60.0,
    ) -> JobStatus:
        """Wait until the job has completed, telling `on_progress` each change.

        Raises JobFailed if it ends otherwise, and WaitTimedOut after `timeout` seconds. A server that is
        away for less than `patience` seconds (a restart) is waited for.
        """
        return JobWait(self._transport, job_id, patience).until_completed(on_progress, timeout)

    def image(self, image_id: str) -> bytes:
        """The PNG."""
        path = f"/api/get_image/{segment(image_id)}"
        response = self._transport.send("GET", path, repeatable=True, headers={"Accept": "image/png"})
        if not response.content.startswith(_PNG):
            raise UnexpectedAnswer(f"{response.request.url} did not answer with a PNG; is the address right?")
        return response.content

    def preview(self, job_id: str) -> bytes:
        """How the current image of a running job looks so far, as a WebP; raises NotFound where there is none."""
        path = f"/api/jobs/{segment(job_id)}/preview"
        return self._transport.send("GET", path, repeatable=True, headers={"Accept": "image/webp"}).content

    def thumbnail(self, image_id: str) -> tuple[str, bytes]:
        """A small version of an image: its media type (`image/webp`) and content."""
        path = f"/api/image/{segment(image_id)}/thumbnail"
        response = self._transport.send("GET", path, repeatable=True, headers={"Accept": "image/*"})
        kind = response.headers.get("Content-Type", "")
        if not kind.startswith("image/"):
            raise UnexpectedAnswer(f"{response.request.url} did not answer with an image; is the address right?")
        return kind, response.content

    def metadata(self, image_id: str) -> ImageMetadata:
        """How an image was made."""
        return self._get(ImageMetadata, f"/api/image/{segment(image_id)}/metadata")

    def delete(self, image_id: str) -> None:
        """Delete an image for good."""
        self._transport.send("DELETE", f"/api/image/{segment(image_id)}")

    def set_favourite(self, image_id: str, *, favourite: bool = True) -> GalleryImage:
        """Make an image a favourite, or none."""
        path = f"/api/image/{segment(image_id)}/favourite"
        return self._transport.json(GalleryImage, "PUT" if favourite else "DELETE", path, repeatable=True)

    def set_labels(self, image_id: str, labels: Iterable[str]) -> GalleryImage:
        """Give an image these labels in place of those that it has."""
        path, body = f"/api/image/{segment(image_id)}/labels", msgspec.json.encode({"labels": list(labels)})
        return self._transport.json(GalleryImage, "PUT", path, body=body, repeatable=True)

    def me(self) -> Me:
        """Whose key is sent, and what it may do."""
        return self._get(Me, "/api/me")

    def queue(self, *, detailed: bool = False) -> Queue:
        """How many jobs are in which state."""
        return self._get(Queue, "/api/queue", params={"detailed": "true" if detailed else None})

    def gallery(
        self,
        *,
        page: int = 1,
        limit: int = 20,
        cursor: str | None = None,
        **filters: Unpack[GalleryFilters],
    ) -> GalleryPage:
        """One page of the gallery, by its number or by the cursor of the page before."""
        params = {"page": page if cursor is None else None, "limit": limit, "cursor": cursor, **filters}
        if "favourite" in filters:
            params["favourite"] = "true" if filters["favourite"] else None
        return self._get(GalleryPage, "/api/gallery", params=params)

    def gallery_images(self, **filters: Unpack[GalleryFilters]) -> Iterator[GalleryImage]:
        """All images that match, newest first, each once, although others come and go meanwhile.

        A server that knows no cursors is asked for numbered pages, where an image may be missed.
        """
        seen: set[str] = set()
        number, cursor, has_more = 1, None, True
        while has_more:
            page = self.gallery(page=number, limit=50, cursor=cursor, **filters)
            yield from (image for image in page.images if image.id not in seen)
            seen.update(image.id for image in page.images)
            number, cursor, has_more = number + 1, page.next_cursor, page.has_more

    def enrich(self, prompt: str, style: str | None = None) -> Enrichment:
        """The prompt with more words; nothing is stored."""
        request = {"prompt": prompt} if style is None else {"prompt": prompt, "style": style}
        body = msgspec.json.encode(request)
        return self._transport.json(Enrichment, "POST", "/api/enrich", body=body, repeatable=True)

    def jobs(
        self, *, status: str | None = None, model: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> JobPage:
        """Jobs, newest first. `status` may be `cancelled`, too; `failed` includes the cancelled ones."""
        params = {"status": status, "model": model, "limit": limit, "cursor": cursor}
        return self._get(JobPage, "/api/jobs", params=params)

    def all_jobs(self, *, status: str | None = None, model: str | None = None) -> Iterator[JobSummary]:
        """All jobs that match, newest first."""
        page = self.jobs(status=status, model=model, limit=100)
        yield from page.jobs
        while page.next_cursor:
            page = self.jobs(status=status, model=model, limit=100, cursor=page.next_cursor)
            yield from page.jobs

    def cancel(self, job_id: str) -> Cancellation:
        """Cancel a job: at once if it waits, within a step if it runs. Raises RejectedInput (409) if it has ended."""
        return self._transport.json(Cancellation, "POST", f"/api/jobs/{segment(job_id)}/cancel", repeatable=True)

    def retry(self, job_id: str, *, idempotency_key: str | None = None) -> Submission:
        """Submit the request of a job that has ended again, with the same seed."""
        return self._post_once(Submission, f"/api/jobs/{segment(job_id)}/retry", None, idempotency_key)

    def events(self) -> Iterator[Queue | JobOrder | JobStatus]:
        """What the whole queue does: its present state, then each change as it comes, until the server ends the stream.

        A job is told when it changes; the last time when it has ended. Raises NotFound where a server has no stream.
        """
        kinds: dict[str, type[Queue | JobOrder | JobStatus]] = {"queue": Queue, "jobs": JobOrder, "job": JobStatus}
        for name, data in self._transport.events("/api/events"):
            if name in kinds:
                yield decoded(kinds[name], data, self.url)

    def move(self, job_id: str, *, to: Literal["front", "back"] | None = None, before: str | None = None) -> Move:
        """Give a job that waits another turn: at an end of the queue, or before another one."""
        body = msgspec.json.encode({"to": to} if before is None else {"before": before})
        return self._transport.json(Move, "POST", f"/api/jobs/{segment(job_id)}/move", body=body, repeatable=True)

    def pause(self) -> Pause:
        """Let no job begin until `resume`; those that run go on."""
        return self._transport.json(Pause, "POST", "/api/queue/pause", repeatable=True)

    def resume(self) -> Pause:
        """Let jobs begin again."""
        return self._transport.json(Pause, "POST", "/api/queue/resume", repeatable=True)

    def reset_queue(self) -> Reset:
        """Put jobs whose worker is gone back into the queue."""
        return self._transport.json(Reset, "POST", "/api/reset_queue")

    def _get(self, kind: type[Result], path: str, **options: Any) -> Result:
        return self._transport.json(kind, "GET", path, repeatable=True, **options)

    def _post_once(self, kind: type[Submission], path: str, body: bytes | None, key: str | None) -> Submission:
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self._transport.json(kind, "POST", path, body=body, headers=headers, repeatable=True)
