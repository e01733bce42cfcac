"""Resources: the list of agents, and the session's own inbox, which is read as by msg_read."""

from __future__ import annotations

import mcp_types as types
from mcp import MCPError

from postino.mcp import answers
from postino.mcp.pending_read import RequestId
from postino.mcp.session import Session
from postino.mcp.tools import DEFAULT_LIMIT, list_agents, read_mail
from postino.values import visible

AGENTS = "postino://agents"
INBOX = "postino://inbox/"
TEMPLATE = INBOX + "{agent}"
JSON = "application/json"


async def list_resources(session: Session) -> types.ListResourcesResult:
    """List the agents and the session's own inbox."""
    name = await session.name()
    agents = types.Resource(
        uri=AGENTS, name="agents", title="Agents", description="The agents you can write to", mime_type=JSON
    )
    inbox = types.Resource(
        uri=INBOX + name,
        name="inbox",
        title="My inbox",
        description="Reads your messages, like msg_read",
        mime_type=JSON,
    )
    return types.ListResourcesResult(resources=[agents, inbox])


def list_templates() -> types.ListResourceTemplatesResult:
    """List the template of an inbox's URI; only the session's own inbox can be read."""
    inbox = types.ResourceTemplate(
        uri_template=TEMPLATE,
        name="inbox",
        title="My inbox",
        description="Reads your messages, like msg_read; only your own inbox",
        mime_type=JSON,
    )
    return types.ListResourceTemplatesResult(resource_templates=[inbox])


async def read(session: Session, request: RequestId, uri: str) -> types.ReadResourceResult:
    """Return one resource.

    Raises:
        MCPError: the resource does not exist, or is another agent's inbox.
    """
    if uri == AGENTS:
        answer = await list_agents(session)
    else:
        await check_own(session, uri)
        answer = await read_mail(session, request, DEFAULT_LIMIT)
    contents = types.TextResourceContents(uri=uri, mime_type=JSON, text=answers.to_json(answer))
    return types.ReadResourceResult(contents=[contents])


async def check_own(session: Session, uri: str) -> None:
    """Raise MCPError unless `uri` names the session's own inbox."""
    if not uri.startswith(INBOX):
        raise MCPError(
            types.INVALID_PARAMS, f"there is no resource {visible(uri)[:200]}; the resources are {AGENTS}, {TEMPLATE}"
        )
    name, wanted = await session.name(), uri.removeprefix(INBOX)
    if wanted != name and wanted not in (await session.broker.agents.one(name)).aliases:
        raise MCPError(types.INVALID_PARAMS, f"only your own inbox can be read here: {INBOX}{name}")
