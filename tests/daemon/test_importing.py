"""What a daemon imports when it starts, and what only when something asks for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from postino.paths import Home
from tests.certificates import certificates
from tests.daemons import environment
from tests.nodes import DURABLE, Node, free_port
from tests.waiting import PATIENCE_S, until

#: what the first request needs none of; whatever does imports it then
LATER = {
    *("mcp", "mcp_types", "pydantic", "markdown_it", "pygments", "apprise", "textual", "anyio", "httpx"),
    *("rich", "opentelemetry", "zipfile", "prometheus_client.exposition", "wsgiref"),
    *("aiohttp.client", "aiohttp.connector", "aiohttp.tracing", "aiohttp.cookiejar"),
    *("redis.client", "redis.commands", "redis.cluster", "redis.asyncio.client", "redis.asyncio.cluster"),
}


def said_by(code: str, path: Path | None = None) -> list[str]:
    """Return the lines that some code prints in a new process."""
    environ = None if path is None else {"PYTHONPATH": str(path)}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=environ, capture_output=True, check=True, text=True).stdout.splitlines()


def test_a_daemon_imports_http_while_valkey_starts_and_what_few_requests_need_later() -> None:
    said = said_by(f"""
        import gc, sys; from postino.daemon import importing; gc.disable()
        with importing.lean():
            import postino.daemon.serve
        print('aiohttp' in sys.modules)
        importing.import_http()
        print('aiohttp' in sys.modules, gc.isenabled(), sorted({LATER!r} & set(sys.modules)))
    """)

    assert said == ["False", "True True []"]


def test_a_daemon_makes_no_dataclass_when_it_starts_each_of_which_takes_half_a_millisecond() -> None:
    said = said_by("""
        import sys
        from postino.daemon import importing
        with importing.lean():
            import postino.daemon.serve
        importing.import_http()
        modules = [each for name, each in sys.modules.items() if name.startswith("postino.")]
        kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
        ours = [kind for kind in kinds if kind.__module__.startswith("postino.")]
        print([kind.__qualname__ for kind in ours if hasattr(kind, "__dataclass_params__")], len(ours) > 100)
    """)

    assert said == ["[] True"]


def test_what_a_daemon_left_out_is_there_for_whoever_asks() -> None:
    said = said_by("""
        from postino.daemon import importing
        with importing.lean():
            import postino.daemon.serve
        importing.import_http()
        import aiohttp, prometheus_client, redis, redis.asyncio, rich.console, opentelemetry.metrics
        from importlib.metadata import version
        print(aiohttp.__version__ == version("aiohttp"), redis.__version__ == version("redis"))
        print(aiohttp.ClientSession.__module__, aiohttp.web.Request.__module__, aiohttp.hdrs.HOST)
        print(redis.Redis.__module__, redis.asyncio.Redis.__module__, redis.exceptions is redis.client.RedisError)
        print(prometheus_client.start_http_server.__module__, prometheus_client.Counter.__module__)
        print(hasattr(aiohttp, "nothing"), issubclass(redis.ResponseError, redis.RedisError))
    """)

    assert said == [
        "True True",
        "aiohttp.client aiohttp.web_request Host",
        "redis.client redis.asyncio.client False",
        "prometheus_client.exposition prometheus_client.metrics",
        "False True",
    ]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package `big` whose own code imports `rest`. `part` does not need it; `ring` works only when that is first."""
    files = {
        "__init__.py": """__version__ = "1.2"
import big
assert not hasattr(big, "nothing")
from .rest import more
print("all")
""",
        "part.py": "from . import __version__, small\nvalue = small.value, __version__\n",
        "small.py": "value = 5\n",
        "rest.py": "more = 'more'\nfrom .ring import value\n",
        "ring.py": "from .rest import more\nvalue = 6\n",
    }
    (tmp_path / "big").mkdir()
    for name, text in files.items():
        (tmp_path / "big" / name).write_text(text)
    return tmp_path


def test_a_part_is_imported_without_the_rest_of_its_package_which_runs_once_on_first_need(package: Path) -> None:
    said = said_by(
        """
        import sys
        from postino.daemon.importing import import_parts
        import_parts("big", "big.part")
        import_parts("big", "big.ring")  # imported already: nothing to do
        import big
        print(big.part.value, "big.rest" in sys.modules)
        print(big.more, big.more, hasattr(big, "nothing"))
        """,
        package,
    )

    assert said == ["(5, '1.2') False", "all", "more more False"]


def test_a_package_of_which_no_part_can_be_had_alone_is_imported_as_ever(package: Path) -> None:
    said = said_by(
        """
        from postino.daemon.importing import import_parts
        import_parts("big", "big.part", "big.ring")
        import_parts("absent", "absent.part")  # not installed: whoever needs it says so
        import big
        from big.part import value
        print(big.ring.value, big.more, value)
        """,
        package,
    )

    assert said == ["all", "6 more (5, '1.2')"]


@pytest.mark.skipif(
    shutil.which("redis-server") is None or shutil.which("openssl") is None,
    reason="no redis-server or no openssl on this machine; the shipped server has no TLS",
)
def test_a_daemon_knows_the_authorities_of_the_system_when_it_connects_to_its_store(home: Home, tmp_path: Path) -> None:
    certificates(tmp_path)
    certificate = f"tls-cert-file {tmp_path}/server.pem\ntls-key-file {tmp_path}/server.key\n"
    files = f"{certificate}tls-ca-cert-file {tmp_path}/ca.pem\n"
    port = free_port()
    store = Node(DURABLE, "redis-server", f"{files}tls-port {port}\ntls-auth-clients no\nport 0\n", port)
    environ = environment(home, POSTINO_VALKEY_URL=f"rediss://localhost:{port}", SSL_CERT_FILE=f"{tmp_path}/ca.pem")

    def postino(command: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "postino", command]
        return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def is_up() -> bool:
        started = postino("up")  # a busy machine may not connect within the second that a daemon has
        assert "certificate" not in started.stderr
        return started.returncode == 0

    try:
        store.start()
        until(is_up, "up")
    finally:
        postino("down")
        store.remove()
