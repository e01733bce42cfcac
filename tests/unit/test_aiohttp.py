"""What postino uses of aiohttp that aiohttp does not promise to keep."""

from __future__ import annotations

import ast
import inspect
from itertools import chain
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

import postino
from postino.rest import connection, request_loop

#: attributes of web.RequestHandler by which rest/connection.py tells whether a half-closed connection is idle:
#: the parsed requests that wait for their turn, and the future on which an idle connection waits for the next one
OF_CONNECTION = {"_messages", "_waiter"}
#: by which rest/request_loop.py handles requests: those two, the parser and how it is held back, who makes a request
#: and answers it, the connection's task and loop, what aiohttp's shutdown waits for, and whether the connection is to
#: be closed
OF_LOOP = OF_CONNECTION | {
    *("_parser", "_buffer_paused", "_msg_queue_resume_size", "_resume_reading_if_drained", "_reading_paused"),
    *("_request_factory", "_request_handler", "_handle_request", "_task_handler", "_loop", "_upgraded"),
    *("_close", "_force_close", "_request_in_progress", "_current_request", "_handler_waiter"),
}
PRIVATE = {connection.HttpConnection: OF_CONNECTION, request_loop.RequestLoop: OF_LOOP}


def private_names(tree: ast.AST, *, of_self: bool) -> set[str]:
    """Return the private attributes that some code uses, of `self` or of anything else."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and (isinstance(node.value, ast.Name) and node.value.id == "self") == of_self
    }


def names_of(*kinds: type) -> set[str]:
    return set(chain.from_iterable(vars(kind) for kind in kinds))


@pytest.mark.parametrize("kind", PRIVATE)
def test_the_private_attributes_in_use_are_these(kind: type) -> None:
    tree = ast.parse(inspect.getsource(kind))

    assert private_names(tree, of_self=True) - names_of(kind) == PRIVATE[kind]


def test_all_of_them_are_looked_for_before_they_are_used() -> None:
    assert request_loop.USED == OF_LOOP


@pytest.mark.parametrize("name", sorted(OF_LOOP))
def test_this_aiohttp_has_the_private_attributes_in_use(name: str) -> None:
    assert name in names_of(*web.RequestHandler.__mro__), (
        f"aiohttp {aiohttp.__version__} has no RequestHandler.{name}: change postino/rest/connection.py and "
        "request_loop.py, then the bounds of aiohttp in pyproject.toml"
    )


def test_a_connection_hides_no_attribute_of_aiohttp() -> None:
    own = {*connection.HttpConnection.__slots__, *request_loop.RequestLoop.__slots__}
    assert not own & names_of(*web.RequestHandler.__mro__)


def test_the_http_face_uses_private_attributes_of_nothing_else() -> None:
    for file in (Path(postino.__file__).parent / "rest").glob("*.py"):
        assert not private_names(ast.parse(file.read_text()), of_self=False), file.name
