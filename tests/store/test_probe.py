"""The probe: what it lets in, what it refuses, and what it says about durability."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio.client import Redis

from postino.errors import StoreAway
from postino.paths import folder
from postino.store import probe
from postino.store.keys import Keys
from postino.store.probe import COMMANDS, Probe, command_name, judge
from postino.store.store import Store
from postino.store.valkey.primary import pool
from postino.store.valkey.process import program
from postino.store_address import without_credentials

REDIS = shutil.which("redis-server")
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")

Run = Callable[..., Awaitable[str]]


@pytest.fixture(params=["valkey", "redis"])
async def run(request: pytest.FixtureRequest) -> AsyncIterator[Run]:
    """Start a server with options of the test's choice; return its URL."""
    if request.param == "redis" and REDIS is None:
        pytest.skip("no redis-server (Debian: apt-get install redis-server) on this machine")
    executable = str(program()) if request.param == "valkey" else str(REDIS)
    async with AsyncExitStack() as stack:
        yield lambda *options: stack.enter_async_context(serving(executable, *options))


@asynccontextmanager
async def serving(executable: str, *options: str) -> AsyncIterator[str]:
    directory = Path(tempfile.mkdtemp(prefix="po", dir="/tmp"))
    path = directory / "s"
    place = ("--port", "0", "--unixsocket", str(path), "--dir", str(directory), "--save", "")
    process = await asyncio.create_subprocess_exec(
        executable, *place, *options, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await listening(path)
        yield f"unix://{path}"
    finally:
        process.kill()
        await process.wait()
        shutil.rmtree(directory)


async def listening(path: Path) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_pool(pool(url, timeout_s=1.0))
    try:
        yield redis
    finally:
        await redis.aclose()


async def asked(url: str) -> Probe:
    store = Store(url, "po:")
    store.open()
    try:
        await store.connect()
        return store.server
    finally:
        await store.close()


def told(config: dict[str, str], role: str | None) -> Probe:
    """What is judged of a server that says this of itself."""
    flat = [word for pair in config.items() for word in pair]
    return judge("x", [None, None if role is None else f"role:{role}\r\n", flat], [])


async def test_a_server_that_fsyncs_before_it_answers_is_fsync_without_warnings(run: Run) -> None:
    found = await asked(await run(*DURABLE))

    assert found.durability == "fsync"
    assert found.warnings == ()
    assert re.fullmatch(r"(Valkey|Redis) \d+\.\d+\.\d+", found.server)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--appendonly", "no", "appendonly no"),
        ("--appendfsync", "everysec", "appendfsync everysec"),
        ("--no-appendfsync-on-rewrite", "yes", "no-appendfsync-on-rewrite yes"),
    ],
)
async def test_anything_less_is_volatile_and_says_what_to_set(run: Run, option: str, value: str, said: str) -> None:
    found = await asked(await run(*DURABLE, option, value))

    assert found.durability == "volatile"
    (warning,) = found.warnings
    assert f"lost in a crash: {said}; set appendonly yes, appendfsync always" in warning


async def test_a_policy_that_evicts_mail_is_warned_of_and_changes_no_durability(run: Run) -> None:
    found = await asked(await run(*DURABLE, "--maxmemory-policy", "allkeys-lru"))

    assert found.durability == "fsync"
    assert found.warnings == (
        "maxmemory-policy allkeys-lru lets the server drop mail when its memory is full; set noeviction",
    )


async def test_a_server_whose_configuration_is_secret_is_volatile(run: Run) -> None:
    url = await run(*DURABLE)
    async with connected(url) as redis:
        await redis.execute_command("ACL", "SETUSER", "po", "on", ">x", "~*", "+@all", "-config", "-info", "-command")

    found = await asked(url.replace("unix://", "unix://po:x@"))

    assert found.durability == "volatile"
    assert found.warnings == ("CONFIG GET is denied: whether answered mail is on disk cannot be determined",)


async def test_a_missing_command_is_refused_by_its_name(run: Run) -> None:
    url = await run(*DURABLE, "--rename-command", "XCLAIM", "", "--rename-command", "XGROUP", "")

    with pytest.raises(StoreAway) as refused:
        await asked(url)

    assert re.search(
        r"lacks XCLAIM, XGROUP CREATE, XGROUP SETID, XGROUP DELCONSUMER: postino needs", str(refused.value)
    )
    assert refused.value.detail == {"outcome": "none"}


async def test_a_read_only_replica_is_refused(run: Run) -> None:
    url = await run(*DURABLE, "--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "yes")

    with pytest.raises(StoreAway, match="is a read-only replica: name its primary in POSTINO_VALKEY_URL"):
        await asked(url)


async def test_a_writable_replica_is_volatile(run: Run) -> None:
    found = await asked(await run(*DURABLE, "--replicaof", "127.0.0.1", "1", "--replica-read-only", "no"))

    assert found.durability == "volatile"
    assert "role slave" in found.warnings[0]


async def test_a_wrong_password_is_refused_without_naming_it(run: Run) -> None:
    url = await run("--requirepass", "right")

    for wrong in (url, url.replace("unix://", "unix://:hunter2@")):
        with pytest.raises(StoreAway, match=r"refuses to serve postino: .*; check user and password") as refused:
            await asked(wrong)
        assert "hunter2" not in str(refused.value)


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    url = "redis://me:hunter2@127.0.0.1:1/0?password=hunter2"

    with pytest.raises(StoreAway, match=r"^redis://127.0.0.1:1/0 does not serve: ") as refused:
        await asked(url)

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("redis://u:p@host:6379/1", "redis://host:6379/1"),
        ("rediss://:p%40ss@[::1]:6380", "rediss://[::1]:6380"),
        ("redis://host/0?password=p", "redis://host/0"),
        ("unix://u:p@/run/valkey.sock?db=2", "unix:///run/valkey.sock"),
    ],
)
def test_a_url_is_shown_without_user_password_and_query(url: str, safe: str) -> None:
    assert without_credentials(url) == safe


def test_what_cannot_be_told_is_never_called_durable() -> None:
    durable = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
    whole = durable | {"maxmemory-policy": "noeviction"}

    assert told(whole, "master").durability == "fsync"
    assert told(whole, None).durability == "volatile"
    assert told({}, "master").durability == "volatile"
    for name in durable:
        assert told({key: value for key, value in whole.items() if key != name}, "master").durability == "volatile"


def test_the_commands_that_are_called_are_probed_and_no_others() -> None:
    files = [each for room in (folder("lua"), folder("lua") / "lib") for each in room.iterdir() if each.is_file()]
    called = {
        f"{command} {sub}" if command in ("XGROUP", "XINFO", "SCRIPT") else command
        for file in files
        for command, sub in re.findall(r"redis\.p?call\(\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?", file.read_text("utf-8"))
    }

    store = Path(probe.__file__).parent
    sent = {word for file in store.glob("*.py") for word in re.findall(r'"([A-Z]+)"', file.read_text("utf-8"))}
    probed = [command_name(each) for each in COMMANDS]

    assert len(called) > 20
    assert called <= {*probed} <= called | sent
    assert len(probed) == len({*probed})


async def test_the_questions_about_rights_change_nothing(run: Run) -> None:
    url = await run(*DURABLE)
    await asked(url)
    async with connected(url) as redis:
        assert [key async for key in redis.scan_iter()] == ["{po}:meta"]


@pytest.mark.parametrize("lost", ["time", "xack", "xgroup|create", "hgetall", "xclaim"])
async def test_a_user_without_a_right_is_refused_with_the_command_named(run: Run, lost: str) -> None:
    url = await run(*DURABLE)
    async with connected(url) as redis:
        await redis.execute_command("ACL", "SETUSER", "po", "on", ">x", "~{po}:*", "+@all", f"-{lost}")

    with pytest.raises(StoreAway, match="does not let this user call " + lost.replace("|", " ").upper()):
        await asked(url.replace("unix://", "unix://po:x@"))


async def test_a_user_without_the_keys_is_refused(run: Run) -> None:
    url = await run(*DURABLE)
    async with connected(url) as redis:
        await redis.execute_command("ACL", "SETUSER", "po", "on", ">x", "~other:*", "+@all")

    with pytest.raises(StoreAway, match=r"refuses postino's scripts: .*key"):
        await asked(url.replace("unix://", "unix://po:x@"))


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (("~{po}:[a-hj-z]*",), f"{Keys('po:').of('inbox', '*')}, {Keys('po:').of('index', '*')}"),
        (("%R~{po}:*", "~{po}:[a-gi-z]*"), "{po}:history"),
    ],
    ids=["neither read nor write", "read only"],
)
async def test_a_user_without_some_keys_is_refused_with_the_keys_named(
    run: Run, rules: tuple[str, ...], missing: str
) -> None:
    url = await run(*DURABLE)
    async with connected(url) as redis:
        await redis.execute_command("ACL", "SETUSER", "po", "on", ">x", "+@all", *rules)

    with pytest.raises(StoreAway) as refused:
        await asked(url.replace("unix://", "unix://po:x@"))

    assert f"does not let this user read and write the keys {missing}: give the user" in refused.value.message
