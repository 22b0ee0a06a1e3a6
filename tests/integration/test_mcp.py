"""`cyberimage mcp` with the SDK's own client: both transports and both ways of the protocol, against real programs."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import mcp_types as types
import pytest
from mcp import Client, MCPError, StdioServerParameters
from PIL import Image

from client.api_client import CyberImageClient
from client.errors import ClientError
from client.mcp import serving
from client.mcp.api import Api
from client.mcp.pictures import LARGEST_PREVIEW
from client.mcp.server import build
from tests import programs
from tests.programs import REPOSITORY, ApiProcess, Program, free_port, wait_until
from tests.runner_harness import RunnerHarness

COMMAND = ["-m", "client.command_line", "mcp"]
#: How the SDK's client speaks: the newest revision, and the one before, which begins with a handshake.
MODES = {"auto": "2026-07-28", "legacy": "2025-11-25"}
CASTLE = {"model_id": "tiny-sd", "prompt": "a castle", "settings": {"num_images": 2, "seed": 7}}


@dataclass
class Server:
    """A CyberImage whose worker only pretends to draw, and `cyberimage mcp --http` before it."""

    api: ApiProcess
    mcp_url: str

    def connect(self) -> CyberImageClient:
        return CyberImageClient(self.api.base)

    def in_process(self) -> Client:
        """The SDK's client of the same server without a transport."""
        return Client(build(Api(self.connect)))

    def over(self, transport: str, mode: str) -> Client:
        """The SDK's client over a real transport."""
        if transport == "http":
            return Client(self.mcp_url, mode=mode)
        environment = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        environment |= {"CYBERIMAGE_URL": self.api.base, "PYTHONPATH": str(REPOSITORY)}
        return Client(StdioServerParameters(command=sys.executable, args=COMMAND, env=environment), mode=mode)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Shared by all tests: none of them breaks anything."""
    harness = RunnerHarness.bare(tmp_path_factory.mktemp("mcp"))
    environment = {"CYBERIMAGE_CATALOG": str(harness.catalog_path), "CYBERIMAGE_MODELS": str(harness.weights)}
    with programs.api(harness.data, environment) as api, harness.stub_runner(), over_http(api, harness.folder) as url:
        yield Server(api, url)


@contextmanager
def over_http(api: ApiProcess, folder: Path) -> Iterator[str]:
    """`cyberimage mcp --http PORT`; gives the address of the protocol."""
    port = free_port()
    command = [sys.executable, *COMMAND, "--http", str(port), "--url", api.base]
    with Program(command, {}, folder / "mcp.log") as program:
        wait_until(lambda: f"MCP at http://127.0.0.1:{port}/mcp" in program.output(), about="the start of MCP")
        yield f"http://127.0.0.1:{port}/mcp"


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end; one that hangs fails."""

    async def bounded() -> None:
        with anyio.fail_after(programs.PATIENCE):
            await test()

    anyio.run(bounded)


def text(result: types.CallToolResult) -> str:
    """The sentences of a result."""
    return "\n".join(part.text for part in result.content if isinstance(part, types.TextContent))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_client_draws_a_whole_picture(server: Server, transport: str, mode: str) -> None:
    async def draw() -> None:
        told: list[tuple[float, float | None, str | None]] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, total, message))

        async with server.over(transport, mode) as client:
            assert client.protocol_version == MODES[mode]
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert names == [
                "generate_image",
                "job_status",
                "cancel_job",
                "list_models",
                "search_gallery",
                "enrich_prompt",
            ]
            settings = {"num_images": 2, "num_inference_steps": 20}  # as many as the stub does
            request = {**CASTLE, "prompt": "a slow castle", "settings": settings}
            result = await client.call_tool("generate_image", request, progress_callback=on_progress)
            assert not result.is_error, text(result)
            small = [part for part in result.content if isinstance(part, types.ImageContent)]
            links = [part for part in result.content if isinstance(part, types.ResourceLink)]
            assert (len(small), len(links)) == (2, 2)
            for part in small:
                Image.open(io.BytesIO(base64.b64decode(part.data))).verify()
                assert part.mime_type == "image/webp"
            (full,) = (await client.read_resource(links[1].uri)).contents
            assert isinstance(full, types.BlobResourceContents)
            picture = Image.open(io.BytesIO(base64.b64decode(full.blob)))
            assert picture.format == "PNG"
            job = result.structured_content
            assert job["status"] == "completed"
            assert links[1].uri == f"cyberimage://image/{job['images'][1]['id']}"
            assert f"{server.api.base}/api/get_image/{job['images'][1]['id']}" in text(result)
        assert [progress for progress, _, _ in told] == sorted({progress for progress, _, _ in told})
        assert told[-1][:2] == (40.0, 40.0)  # 2 images of 20 steps

    run(draw)


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    async with server.in_process() as client:
        yield client


def test_what_tools_take_is_what_the_api_describes(server: Server) -> None:
    described = server.api.get("/openapi.json").json()["components"]["schemas"]

    async def compare() -> None:
        async with connected(server) as client:
            tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
            generate = tools["generate_image"]
            assert generate["properties"].keys() == described["GenerateRequest"]["properties"].keys() | {"wait_seconds"}
            settings = generate["properties"]["settings"]["properties"]
            assert settings.keys() == described["RequestSettings"]["properties"].keys()
            assert all(
                settings[name] == field
                for name, field in described["RequestSettings"]["properties"].items()
                if "$ref" not in str(field)
            )
            assert generate["required"] == ["prompt"]
            assert tools["search_gallery"]["properties"].keys() == {"search", "model", "limit", "cursor", "show"}
            assert tools["enrich_prompt"]["properties"]["style"] == described["EnrichRequest"]["properties"]["style"]
            assert "$ref" not in str(tools)

    run(compare)


@pytest.mark.parametrize(
    ("tool", "arguments", "about"),
    [
        ("generate_image", {"prompt": "a castle", "settings": {"num_images": 99}}, "settings.num_images"),
        ("generate_image", {"prompt": "a castle", "model_id": "nonsense"}, "nonsense"),
        ("generate_image", {"prompt": 7}, "prompt"),
        ("generate_image", {}, "prompt is missing: What the image shows."),
        ("generate_image", {"prompt": "a castle", "size": "huge"}, "'size' is no argument of this tool"),
        ("generate_image", {"prompt": "a castle", "wait_seconds": -1}, "wait_seconds is -1; it must be a number"),
        ("job_status", {"job_id": 5}, "job_id is 5; it must be the id of a job"),
        ("job_status", {"job_id": "nobody"}, "nobody"),
        ("cancel_job", {"job_id": "../.."}, "../.."),
        ("search_gallery", {"limit": "many"}, "limit"),
        ("search_gallery", {"cursor": "nonsense"}, "cursor"),
        ("enrich_prompt", {"prompt": "a castle", "style": "nonsense"}, "nonsense"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(server: Server, tool: str, arguments: dict[str, Any], about: str) -> None:
    async def ask() -> None:
        async with connected(server) as client:
            result = await client.call_tool(tool, arguments)
            assert result.is_error, text(result)
            assert about in text(result)
            assert text(result).endswith(".")
            assert "Traceback" not in text(result)

    run(ask)


def test_what_there_is_not_is_an_error_of_the_protocol(server: Server) -> None:
    async def ask() -> None:
        async with connected(server) as client:
            with pytest.raises(MCPError, match="There is no tool 'paint'; there are: generate_image"):
                await client.call_tool("paint", {})
            with pytest.raises(MCPError, match="is no resource of this server"):
                await client.read_resource("file:///etc/passwd")
            with pytest.raises(MCPError, match="img_nobody"):
                await client.read_resource("cyberimage://image/img_nobody")

    run(ask)


def test_a_job_can_be_left_and_looked_at_later(server: Server) -> None:
    async def leave() -> None:
        async with connected(server) as client:
            left = await client.call_tool("generate_image", {**CASTLE, "prompt": "a slow tower", "wait_seconds": 0})
            assert not left.is_error
            assert "ask job_status with this id" in text(left)
            job_id = left.structured_content["id"]
            ended = await client.call_tool("job_status", {"job_id": job_id, "wait_seconds": 120})
            assert ended.structured_content["status"] == "completed"
            assert sum(isinstance(part, types.ImageContent) for part in ended.content) == 2
            again = await client.call_tool("job_status", {"job_id": job_id})
            assert again.structured_content["status"] == "completed"
            refused = await client.call_tool("cancel_job", {"job_id": job_id})
            assert refused.is_error

    run(leave)


def test_a_failed_job_is_an_error_with_the_reason(server: Server) -> None:
    async def fail() -> None:
        async with connected(server) as client:
            result = await client.call_tool("generate_image", {"prompt": "refuse", "model_id": "tiny-sd"})
            assert result.is_error
            assert ": failed. " in text(result)

    run(fail)


@pytest.mark.parametrize("mode", MODES)
def test_a_cancelled_call_cancels_its_job(server: Server, mode: str) -> None:
    """The first image of such a job is done; at the second it stays until it is told to stop."""
    prompt = f"linger {mode}"

    async def call_and_leave() -> None:
        async with server.over("http", mode) as client, anyio.create_task_group() as calls:

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                if progress >= 4:  # of two steps each: the second image, which does not end
                    calls.cancel_scope.cancel()

            async def call() -> None:
                settings = {"num_images": 2, "num_inference_steps": 2}
                request = {**CASTLE, "prompt": prompt, "wait_seconds": 600, "settings": settings}
                await client.call_tool("generate_image", request, progress_callback=on_progress)

            calls.start_soon(call)

    run(call_and_leave)

    def is_cancelled() -> bool:
        jobs = server.api.get("/jobs?status=cancelled").json()["jobs"]
        return any(job["prompt"] == prompt for job in jobs)

    wait_until(is_cancelled, about="the job to be cancelled")


def test_a_client_that_leaves_cancels_the_job_that_it_waits_for(server: Server) -> None:
    """It closes our standard input and says nothing, as one does that was killed."""
    prompt = "linger for nobody"
    arguments = {**CASTLE, "prompt": prompt, "wait_seconds": 600}
    client_info = {"protocolVersion": MODES["legacy"], "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": client_info},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "generate_image", "arguments": arguments}},
    ]

    def jobs(status: str) -> list[str]:
        return [job["prompt"] for job in server.api.get(f"/jobs?status={status}").json()["jobs"]]

    environment = os.environ | {"CYBERIMAGE_URL": server.api.base}
    command = [sys.executable, *COMMAND]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, **pipes) as leaving:  # type: ignore[call-overload]
        for message in messages:
            leaving.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            leaving.stdin.flush()
        wait_until(lambda: prompt in jobs("processing"), about="the job to be drawn")
        leaving.stdin.close()
        wait_until(lambda: prompt in jobs("cancelled"), about="the job to be cancelled")
        assert leaving.wait(programs.PATIENCE) == 0


def test_a_waiting_job_is_cancelled(server: Server) -> None:
    async def cancel() -> None:
        async with connected(server) as client:
            left = await client.call_tool("generate_image", {**CASTLE, "prompt": "linger here", "wait_seconds": 0})
            job_id = left.structured_content["id"]
            assert not (await client.call_tool("cancel_job", {"job_id": job_id})).is_error
            ended = await client.call_tool("job_status", {"job_id": job_id, "wait_seconds": 120})
            assert ended.structured_content["error_type"] == "cancelled"

    run(cancel)


def test_the_gallery_is_found_listed_and_read(server: Server) -> None:
    async def look() -> None:
        async with connected(server) as client:
            await client.call_tool("generate_image", {**CASTLE, "prompt": "a quokka"})
            with anyio.fail_after(programs.PATIENCE):
                while not (await search(client, "quokka")).structured_content["images"]:
                    await anyio.sleep(0.05)
            found = await search(client, "quokka", show=True)
            assert sum(isinstance(part, types.ImageContent) for part in found.content) == 2
            assert text(found).startswith("2 of 2 images.")
            links = [part.uri for part in found.content if isinstance(part, types.ResourceLink)]
            first = await search(client, "quokka", limit=1)
            cursor = first.structured_content["next_cursor"]
            assert f"More: cursor {cursor}" in text(first)
            second = await search(client, "quokka", limit=1, cursor=cursor)
            assert [part.uri for part in second.content if isinstance(part, types.ResourceLink)] == links[1:]
            listed = await client.list_resources()
            assert set(links) <= {resource.uri for resource in listed.resources}
            (template,) = (await client.list_resource_templates()).resource_templates
            assert template.uri_template == "cyberimage://image/{image_id}"

    run(look)


async def search(client: Client, words: str, **more: Any) -> types.CallToolResult:
    return await client.call_tool("search_gallery", {"search": words, **more})


def test_models_and_richer_words(server: Server) -> None:
    async def ask() -> None:
        async with connected(server) as client:
            models = await client.call_tool("list_models", {})
            assert "tiny-sd" in text(models)
            assert models.structured_content["default"] in models.structured_content["models"]
            enriched = await client.call_tool("enrich_prompt", {"prompt": "a castle", "style": "fantasy"})
            assert text(enriched).startswith("a castle")
            by_default = await client.call_tool("generate_image", {"prompt": "a castle", "settings": {"seed": 1}})
            assert by_default.structured_content["model_id"] == models.structured_content["default"]

    run(ask)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": "evil.example"}, 421), ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403)],
)
def test_a_page_of_another_site_is_refused(server: Server, headers: dict[str, str], status: int) -> None:
    kinds = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    request = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert httpx.post(server.mcp_url, json=request, headers=kinds | headers).status_code == status


def test_a_server_that_is_away_is_told() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    async def ask() -> None:
        async with Client(build(Api(lambda: CyberImageClient(url)))) as client:
            with pytest.raises(MCPError, match="cannot be reached"):
                await client.list_tools()
            with pytest.raises(MCPError, match="cannot be reached"):
                await client.list_resources()
            result = await client.call_tool("list_models", {})
            assert result.is_error
            assert f"{url} cannot be reached" in text(result)

    run(ask)


def test_a_port_in_use_is_told(server: Server) -> None:
    port = int(server.mcp_url.split(":")[2].split("/", maxsplit=1)[0])
    with pytest.raises(ClientError, match=f"Port {port} is already in use"):
        serving.serve(server.connect, port)


def _without_a_small_one(_: CyberImageClient, image_id: str) -> tuple[str, bytes]:
    raise ClientError(f"There is no image {image_id!r}.")


@pytest.mark.parametrize(
    ("thumbnail", "about"),
    [
        (_without_a_small_one, "cannot be shown: There is no image"),
        (lambda _, __: ("image/webp", bytes(LARGEST_PREVIEW + 1)), "is not shown here: its small version has"),
    ],
)
def test_a_picture_that_cannot_be_shown_costs_no_result(
    server: Server, monkeypatch: pytest.MonkeyPatch, thumbnail: Callable[..., Any], about: str
) -> None:
    monkeypatch.setattr(CyberImageClient, "thumbnail", thumbnail)

    async def draw() -> None:
        async with connected(server) as client:
            result = await client.call_tool("generate_image", CASTLE)
            assert not result.is_error
            assert about in text(result)
            assert sum(isinstance(part, types.ResourceLink) for part in result.content) == 2

    run(draw)


@pytest.mark.parametrize("document", [{}, {"paths": {}}, {"paths": {"/api/generate": {"post": 7}}}, {"paths": []}])
def test_another_program_at_the_address_is_told(monkeypatch: pytest.MonkeyPatch, document: dict[str, Any]) -> None:
    monkeypatch.setattr(CyberImageClient, "description", lambda _: document)

    async def ask() -> None:
        async with Client(build(Api(CyberImageClient))) as client:
            with pytest.raises(MCPError, match="does not describe POST /api/generate; is it a CyberImage"):
                await client.list_tools()

    run(ask)


def test_a_missing_sdk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "find_spec", lambda _: None)
    with pytest.raises(ClientError, match=r"needs the package mcp.*\.\[mcp\]"):
        serving.serve(lambda: CyberImageClient(), None)
