"""Imports of the daemon's modules, without what packages load for uses that a daemon has none of."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

#: packages that others load where they are installed, for tracebacks and figures that are not used: each takes as long
#: as the package that loads it
HIDDEN = ("rich", "opentelemetry")
#: what is needed of the packages whose own code loads all the rest. aiohttp's clients and redis-py's, for which the
#: former also reads the 140 certificates of the system, take 80 ms, a third of the start
STORE_PARTS: dict[str, tuple[str, ...]] = {
    "importlib.metadata": (),  # by which redis-py would find its version
    "redis": ("redis.exceptions",),
    "redis.asyncio": ("redis.asyncio.connection", "redis.asyncio.retry"),
}
HTTP_PARTS = {
    "aiohttp": ("aiohttp.web", "aiohttp.http", "aiohttp.streams"),
    "prometheus_client": ("prometheus_client.core", "prometheus_client.process_collector"),
}

_VERSION = re.compile(r"""^__version__ = ["']([^"']+)["']""", re.MULTILINE)
_running: set[tuple[str, int]] = set()  # packages and threads


@contextlib.contextmanager
def lean() -> Iterator[None]:
    """Let modules that are imported meanwhile load no more of structlog and redis-py than a daemon uses."""
    modules: dict[str, Any] = sys.modules
    hidden = [each for each in HIDDEN if each not in modules]
    modules |= dict.fromkeys(hidden)
    try:
        for package, parts in STORE_PARTS.items():
            import_parts(package, *parts)
        yield
    finally:
        for each in hidden:
            del modules[each]


def import_http() -> None:
    """Import what serves HTTP, in a thread of its own, for some 80 ms; then let the garbage collector work."""
    from postino.mcp.face import SWITCH_S, spare_collector  # not above: it imports structlog

    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        for package, parts in HTTP_PARTS.items():
            import_parts(package, *parts)
        import postino.daemon.http_face  # noqa: F401
    finally:
        sys.setswitchinterval(interval)
    spare_collector()


def import_parts(package: str, *parts: str) -> None:
    """Import modules of a package without running its own code, which imports more of them: that runs on first need.

    If a part cannot be imported so, as may be in another version, the whole package is imported.
    """
    spec = find_spec(package)
    if package in sys.modules or spec is None:
        return
    module: Any = module_from_spec(spec)
    module.__class__ = _Parts
    _insert(package, module)
    try:
        for part in parts:
            importlib.import_module(part)
    except Exception:
        root = package.partition(".")[0]
        for name in [each for each in sys.modules if each == root or each.startswith(f"{root}.")]:
            del sys.modules[name]
        importlib.import_module(package)


def _insert(package: str, module: ModuleType) -> None:
    sys.modules[package] = module
    parent, _, name = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)


class _Parts(ModuleType):
    """A package whose own code has not run. It runs when a name is asked for that is none of its modules."""

    def __getattr__(self, name: str) -> Any:
        if name == "__version__" and (found := _VERSION.search(_source(self))):
            return found[1]
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if find_spec(f"{self.__name__}.{name}") is not None:
            return importlib.import_module(f"{self.__name__}.{name}")
        self._run()
        try:
            return vars(self)[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None

    def _run(self) -> None:
        """Run the package's own code, unless it is this code that asks. Two threads may: it only imports and names."""
        run = self.__name__, threading.get_ident()
        if run in _running:
            return
        _running.add(run)
        try:
            whole: Any = self
            whole.__spec__.loader.exec_module(whole)
            whole.__class__ = ModuleType
        finally:
            _running.discard(run)


def _source(module: ModuleType) -> str:
    found = getattr(module.__loader__, "get_source", lambda _: None)(module.__name__)
    return found or ""
