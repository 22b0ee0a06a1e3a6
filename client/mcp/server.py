"""The requests of the protocol: tools are listed and called, the gallery is listed and read."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from client.errors import ClientError, NotFound, RejectedInput
from client.mcp import pictures, schemas
from client.mcp.api import Api
from client.mcp.tools import TOOLS, Call

Context = ServerRequestContext[dict[str, Any], Any]

_INSTRUCTIONS: Final = (
    "Draws pictures on a CyberImage server. generate_image waits for them; where it answers that the job goes on, ask "
    "job_status with the job's id. list_models tells what each model allows."
)
_IMAGES_ON_A_PAGE: Final = 50


def build(api: Api) -> Server[dict[str, Any]]:
    """The MCP server of one CyberImage server."""
    requests = _Requests(api)
    return Server(
        "cyberimage",
        title="CyberImage",
        version=_version(),
        instructions=_INSTRUCTIONS,
        on_list_tools=requests.list_tools,
        on_call_tool=requests.call_tool,
        on_list_resources=requests.list_resources,
        on_list_resource_templates=requests.list_templates,
        on_read_resource=requests.read_resource,
    )


def _version() -> str:
    try:
        return version("cyberimage")
    except PackageNotFoundError:  # a copied folder
        return ""


class _Requests:
    """One method for each request."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._tools = {tool.name: tool for tool in TOOLS}

    async def list_tools(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """All tools, as the server that runs now describes what they take."""
        try:
            description = await self._api.description(again=True)
            return types.ListToolsResult(tools=[tool.listed(description) for tool in TOOLS])
        except ClientError as error:
            raise _protocol_error(error) from error

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """What a tool answers. What is wrong is an answer, too: the model reads the sentence and can put it right."""
        tool = self._tools.get(params.name)
        if tool is None:
            known = ", ".join(self._tools)
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name!r}; there are: {known}.")
        arguments = params.arguments or {}
        try:
            schemas.check_names(arguments, tool.schema(await self._api.description()))
            return await tool.run(Call(self._api, arguments, context.session.report_progress))
        except ClientError as error:
            return types.CallToolResult(content=[types.TextContent(text=error.message)], is_error=True)

    async def list_resources(
        self, _: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """The gallery, newest first, page by page."""
        cursor = params.cursor if params else None
        try:
            page = await self._api.ask(lambda client: client.gallery(limit=_IMAGES_ON_A_PAGE, cursor=cursor))
        except ClientError as error:
            raise _protocol_error(error) from error
        found = [pictures.resource(image) for image in page.images]
        return types.ListResourcesResult(resources=found, next_cursor=page.next_cursor)

    async def list_templates(
        self, _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """How the address of an image is made."""
        return types.ListResourceTemplatesResult(resource_templates=[pictures.TEMPLATE])

    async def read_resource(self, _: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """A full image."""
        try:
            return await pictures.read(self._api, str(params.uri))
        except ClientError as error:
            raise _protocol_error(error) from error


def _protocol_error(error: ClientError) -> MCPError:
    asked_wrongly = isinstance(error, NotFound | RejectedInput)
    return MCPError(types.INVALID_PARAMS if asked_wrongly else types.INTERNAL_ERROR, error.message)
