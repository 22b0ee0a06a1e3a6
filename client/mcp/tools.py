"""The tools, one row each. What a tool takes is what the server describes, so that a new field of it is there at once.

To add one: a function that answers a `Call`, one that makes its schema, and a row of `TOOLS`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio
import msgspec
from mcp_types import CallToolResult, ContentBlock, TextContent, ToolAnnotations
from mcp_types import Tool as ListedTool

from client.errors import ClientError, RejectedInput
from client.mcp import pictures, schemas
from client.mcp.api import Api
from client.mcp.following import Report, follow
from client.mcp.schemas import Description, Schema
from client.results import JobStatus

#: Clients give a tool up after a minute, many of them; a job that takes longer is asked for again.
USUAL_WAIT: Final = 45
LONGEST_WAIT: Final = 600
#: How many images of a search are shown at most; the others are links.
MOST_SHOWN: Final = 8


@dataclass(frozen=True)
class Call:
    """One call of a tool."""

    api: Api
    arguments: Mapping[str, Any]
    report: Report

    def rest(self, *taken: str) -> dict[str, Any]:
        """The arguments but these, without those that are null."""
        return {name: value for name, value in self.arguments.items() if name not in taken and value is not None}

    def wait_seconds(self, usual: float) -> float:
        """How long to wait; raises RejectedInput."""
        value = self.arguments.get("wait_seconds", usual)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_WAIT:
            raise RejectedInput(f"wait_seconds is {value!r}; it must be a number from 0 to {LONGEST_WAIT}.")
        return float(value)

    def job_id(self) -> str:
        """The job that is meant; raises RejectedInput."""
        value = self.arguments["job_id"]
        if not isinstance(value, str):
            raise RejectedInput(f"job_id is {value!r}; it must be the id of a job, as text.")
        return value


@dataclass(frozen=True)
class Tool:
    """A tool: what clients are told of it, what it takes, and what it does."""

    name: str
    title: str
    about: str
    schema: Callable[[Description], Schema]
    run: Callable[[Call], Awaitable[CallToolResult]]
    reads_only: bool = True

    def listed(self, description: Description) -> ListedTool:
        """The tool as clients see it."""
        hints = ToolAnnotations(
            read_only_hint=self.reads_only,
            destructive_hint=False,
            idempotent_hint=self.reads_only,
            open_world_hint=False,
        )
        return ListedTool(
            name=self.name,
            title=self.title,
            description=self.about,
            input_schema=self.schema(description),
            annotations=hints,
        )


def _waiting(usual: int) -> Schema:
    about = "How long to wait for the pictures, in seconds; after that, ask job_status"
    return {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT, "default": usual, "description": about}


_JOB_ID: Final[Schema] = {"type": "string", "description": "The id of a job, as generate_image answers it"}


def _generate_schema(description: Description) -> Schema:
    """The body of POST /generate, where the model may be left out."""
    body = description.body("/api/generate")
    required = [name for name in body.get("required", ()) if name != "model_id"]
    return schemas.of({**body["properties"], "wait_seconds": _waiting(USUAL_WAIT)}, required)


async def generate_image(call: Call) -> CallToolResult:
    """Submit a job and wait for its pictures; it is cancelled if the call is, while it waits here."""
    seconds = call.wait_seconds(USUAL_WAIT)
    request = call.rest("wait_seconds")
    if "model_id" not in request:
        request["model_id"] = (await call.api.ask(lambda client: client.models())).default
    accepted = await call.api.ask(lambda client: client.submit(request))
    try:
        job = await follow(call.api, accepted.job_id, seconds, call.report)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await _cancel_quietly(call.api, accepted.job_id)
        raise
    return await _job_result(call.api, job)


async def _cancel_quietly(api: Api, job_id: str) -> None:
    """Cancel a job whose caller has gone. Whether that succeeds, nobody hears: it may have ended just now."""
    try:
        await api.ask(lambda client: client.cancel(job_id))
    except ClientError:
        return


async def job_status(call: Call) -> CallToolResult:
    """How a job is, and its pictures."""
    job_id, seconds = call.job_id(), call.wait_seconds(0)
    if seconds > 0:
        job = await follow(call.api, job_id, seconds, call.report)
    else:
        job = await call.api.ask(lambda client: client.status(job_id))
    return await _job_result(call.api, job)


async def cancel_job(call: Call) -> CallToolResult:
    """Cancel a job."""
    job_id = call.job_id()
    cancelled = await call.api.ask(lambda client: client.cancel(job_id))
    return _result([TextContent(text=f"The job {job_id} is being cancelled.")], cancelled)


async def list_models(call: Call) -> CallToolResult:
    """The catalog."""
    models = await call.api.ask(lambda client: client.models())
    lines = [
        f"{key}{' (default)' if key == models.default else ''}: {model.description}"
        for key, model in models.models.items()
    ]
    return _result([TextContent(text="\n".join(lines))], models)


def _gallery_schema(description: Description) -> Schema:
    schema = schemas.only(description.query("/api/gallery"), ("search", "model", "limit", "cursor"))
    about = f"Show the first {MOST_SHOWN} as small pictures; without it there are links only"
    schema["properties"]["show"] = {"type": "boolean", "default": False, "description": about}
    return schema


async def search_gallery(call: Call) -> CallToolResult:
    """Images, newest first."""
    filters = call.rest("show")
    page = await call.api.ask(lambda client: client.gallery(**filters))
    shown = [image.id for image in page.images[:MOST_SHOWN]] if call.arguments.get("show") is True else []
    more = f" More: cursor {page.next_cursor}" if page.next_cursor else ""
    content: list[ContentBlock] = [TextContent(text=f"{len(page.images)} of {page.total} images.{more}")]
    content += await pictures.small(call.api, shown)
    content += [
        pictures.link(image.id, f"{image.prompt} ({image.model_id}, {image.width}x{image.height}, seed {image.seed})")
        for image in page.images
    ]
    return _result(content, page)


async def enrich_prompt(call: Call) -> CallToolResult:
    """A prompt with more words."""
    words = call.rest()
    enriched = await call.api.ask(lambda client: client.enrich(**words))
    return _result([TextContent(text=enriched.enriched_prompt)], enriched)


async def _job_result(api: Api, job: JobStatus) -> CallToolResult:
    """A job with its pictures. One that failed is an error of the tool, in the server's words."""
    base = await api.ask(lambda client: client.url)
    lines = [f"Job {job.id}: {job.status}. {job.error_message or job.message or ''}".rstrip()]
    lines += [f"Note: {warning}" for warning in job.warnings]
    if not job.is_final:
        lines.append("It goes on at the server; ask job_status with this id.")
    lines += [f"{image.id}: {base}/api/get_image/{image.id}" for image in job.images]
    content: list[ContentBlock] = [TextContent(text="\n".join(lines))]
    content += await pictures.small(api, [image.id for image in job.images])
    content += [pictures.link(image.id, f"{job.prompt} ({job.model_id})") for image in job.images]
    return _result(content, job, is_error=job.status == "failed")


def _result(content: list[ContentBlock], answer: msgspec.Struct, *, is_error: bool = False) -> CallToolResult:
    return CallToolResult(content=content, structured_content=msgspec.to_builtins(answer), is_error=is_error)


TOOLS: Final = (
    Tool(
        "generate_image",
        "Draw pictures",
        "Draw pictures from a prompt and wait for them. Answers small pictures to look at and links to the full ones.",
        _generate_schema,
        generate_image,
        reads_only=False,
    ),
    Tool(
        "job_status",
        "Look at a job",
        "How far a job is, and its pictures when it has ended.",
        lambda _: schemas.of({"job_id": _JOB_ID, "wait_seconds": _waiting(0)}, ["job_id"]),
        job_status,
    ),
    Tool(
        "cancel_job",
        "Cancel a job",
        "Cancel a job: at once if it waits, within a step if it runs. Pictures that are done stay.",
        lambda _: schemas.of({"job_id": _JOB_ID}, ["job_id"]),
        cancel_job,
        reads_only=False,
    ),
    Tool(
        "list_models",
        "List models",
        "The models of the server with their defaults, limits and abilities.",
        lambda _: schemas.of({}),
        list_models,
    ),
    Tool(
        "search_gallery",
        "Search the gallery",
        "Images that were drawn before, newest first, by words of their prompt or by model.",
        _gallery_schema,
        search_gallery,
    ),
    Tool(
        "enrich_prompt",
        "Enrich a prompt",
        "Add words to a short prompt in a style, so that a picture of it gets richer. Nothing is stored.",
        lambda description: schemas.only(description.body("/api/enrich"), ("prompt", "style")),
        enrich_prompt,
    ),
)
