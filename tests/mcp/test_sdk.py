"""The SDK's names that the code depends on: public ones only. pyproject.toml keeps mcp below the next major version."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from mcp.server import Server

from postino import mcp

USED = {
    "mcp": {"MCPError"},
    "mcp.server": {"Server", "ServerRequestContext"},
    "mcp.server.models": {"InitializationOptions"},
    "mcp.server.runner": {"serve_dual_era_loop", "serve_loop"},
    "mcp.shared.dispatcher": {"as_request_id", "coerce_request_id"},
    "mcp.shared.inbound": {
        "ERROR_CODE_HTTP_STATUS",
        "MCP_PROTOCOL_VERSION_HEADER",
        "InboundLadderRejection",
        "classify_inbound_request",
    },
    "mcp.shared.message": {"SessionMessage"},
}


def imported() -> Iterator[tuple[str, str]]:
    for file in Path(mcp.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.split(".")[0] == "mcp":
                yield from ((node.module, each.name) for each in node.names)


def test_these_names_of_the_sdk_are_used_and_no_others() -> None:
    assert set(imported()) == {(module, name) for module, names in USED.items() for name in names}


@pytest.mark.parametrize("module", USED)
def test_each_of_them_is_public(module: str) -> None:
    found = import_module(module)

    assert not [part for part in module.split(".") if part.startswith("_")]
    assert USED[module] <= set(getattr(found, "__all__", dir(found)))


def test_a_server_has_the_parts_that_are_used_without_an_import() -> None:
    server = Server("name")

    assert server.middleware  # the tracing, which is removed
    assert server.create_initialization_options(experimental_capabilities={"a": {}}).capabilities.experimental
