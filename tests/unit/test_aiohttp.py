"""What postino uses of aiohttp that aiohttp does not promise to keep."""

from __future__ import annotations

import ast
import inspect
import ssl
import subprocess
import sys
from itertools import chain
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

import postino
from postino.rest import connection

#: attributes of web.RequestHandler by which rest/connection.py tells whether a half-closed connection is idle:
#: the parsed requests that wait for their turn, and the future on which an idle connection waits for the next one
PRIVATE = {"_messages", "_waiter"}


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


def test_the_private_attributes_in_use_are_these() -> None:
    tree = ast.parse(inspect.getsource(connection.HttpConnection))

    assert private_names(tree, of_self=True) - names_of(connection.HttpConnection) == PRIVATE


@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_this_aiohttp_has_the_private_attributes_in_use(name: str) -> None:
    assert name in web.RequestHandler.__slots__, (
        f"aiohttp {aiohttp.__version__} has no RequestHandler.{name}: change HttpConnection in "
        "postino/rest/connection.py, then the bounds of aiohttp in pyproject.toml"
    )


def test_a_connection_hides_no_attribute_of_aiohttp() -> None:
    assert not set(connection.HttpConnection.__slots__) & names_of(*web.RequestHandler.__mro__)


def test_the_http_face_uses_private_attributes_of_nothing_else() -> None:
    for file in (Path(postino.__file__).parent / "rest").glob("*.py"):
        assert not private_names(ast.parse(file.read_text()), of_self=False), file.name


def test_a_daemon_loads_no_certificates_for_a_client_that_it_does_not_use() -> None:
    code = (
        "import ssl; from postino.cli import daemon; made = ssl.create_default_context\n"
        "{}: from aiohttp import connector\n"
        "assert ssl.create_default_context is made\n"
        "print(connector._SSL_CONTEXT_VERIFIED.cert_store_stats()['x509'])"
    )
    loaded = [
        int(subprocess.check_output([sys.executable, "-c", code.format(block)], text=True))
        for block in ("with daemon._without_certificates()", "if True")
    ]

    assert loaded[0] == 0
    assert loaded[1] > 0 or not ssl.create_default_context().cert_store_stats()["x509"]


def test_a_daemon_loads_no_rich_for_tracebacks_that_it_does_not_use() -> None:
    code = (
        "import sys; from postino.cli import daemon\n"
        "{}: import structlog\n"
        "print('rich.console' in sys.modules); import rich.console"
    )
    loaded = [
        subprocess.check_output([sys.executable, "-c", code.format(block)], text=True).strip()
        for block in ("with daemon._without_rich()", "if True")
    ]

    assert loaded == ["False", "True"]
