"""Sessions: which agent a connected client acts as, and the end of its leases when it leaves."""

from __future__ import annotations

import contextlib
import hashlib
import re
import unicodedata
from pathlib import PurePosixPath

import msgspec

from postino.errors import AliasLimit, NameTaken, UnknownAgent
from postino.model import Record
from postino.store.agents import AgentTable
from postino.store.sessions import SessionTable
from postino.values import check_name

LONGEST_FOLDER = 40  # characters of a directory's name in that of an agent
_TAIL = re.compile(r"[A-Za-z0-9._-]{1,8}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sends when it connects. `generation` grows with each reconnect."""

    session: str
    generation: int
    started_ms: int = 0  # Unix time at which the client started the relay; 0: not known
    name: str | None = None
    terminal: str | None = None
    directory: str | None = None
    host: str | None = None
    claude_pid: int | None = None
    claude_start: str | None = None
    claude_socket: str | None = None
    claude_session_id: str | None = None
    version: str | None = None  # of the relay
    plugin: bool | None = None  # Claude Code's plugin has started it; None: not known
    client: str | None = None  # named by the client's handshake, which may follow
    placeholders: list[str] = []  # variables whose value no program has expanded

    @property
    def process(self) -> str | None:
        """The key of the Claude process, which also runs this session's hooks; None if it is not known."""
        return process_key(self.host, self.claude_pid, self.claude_start) if self.claude_pid else None


class Joined(Record, frozen=True, kw_only=True):
    """The agent a session acts as. `shared` counts the other live sessions of that agent."""

    agent: str
    shared: int
    derived: bool


SESSION_PREFIX = "s-"  # of every session id, and of no other consumer


class Sessions:
    """Join, keep alive and leave. The session id is the consumer name of its reads."""

    def __init__(self, table: SessionTable, agents: AgentTable) -> None:
        self._table = table
        self._agents = agents

    async def join(self, hello: Hello) -> Joined:
        """Register a session and return the agent it acts as.

        An explicit name is used as it is and may be shared. Otherwise it is the first name derived from terminal,
        directory and session that no live session has; what a directory was called earlier becomes an alias. A
        session that reconnects keeps its agent, and its leases end: answers that were on their way may never have
        arrived.

        Raises:
            BadName: the explicit name cannot name an agent.
            StaleSession: a later connection of the session has joined.
        """
        name = check_name(hello.name, "POSTINO_AGENT_NAME") if hello.name else ""
        derivable = candidates(hello) if name else await self._candidates(hello)
        agent, others, derived = await self._table.join(hello.session, hello.generation, name, derivable, _about(hello))
        if hello.generation > 1:
            await self._table.leave(agent, hello.session, hello.generation, stay=True)
        return Joined(agent=agent, shared=others, derived=derived)

    async def _candidates(self, hello: Hello) -> list[str]:
        """Return the names a session may derive; for a directory that has had another name, where that leads now.

        An agent that has the earlier form of the name is renamed, unless it is online or the new name is in use.
        """
        names, earlier = candidates(hello), earlier_name(hello)
        if earlier is None:
            return names
        present, entry = await self._agents.entry(earlier)
        if entry is None:
            return names
        new = directory_name(hello)
        if present == earlier and not await self._table.live_of(entry.sessions):
            with contextlib.suppress(NameTaken, AliasLimit, UnknownAgent):  # the last: by another session just now
                _, present, _ = await self._agents.rename(earlier, new)
        return [present if name == new else name for name in names]

    async def note_client(self, session: str, client: str) -> None:
        """Record which client a session belongs to; for a session that is not known it is ignored."""
        await self._table.note_client(session, client)

    async def leave(self, session: str, generation: int) -> None:
        """End a connection: release its leases and go offline, unless a later generation has joined."""
        known = await self._table.session(session)
        if known is not None:
            await self._table.leave(known["agent"], session, generation)

    async def keepalive(self, session: str, generation: int, shown: dict[str, int] | None = None) -> None:
        """Keep a connected session online and extend its leases of `shown`: message id -> delivery count.

        What it holds besides was never shown, because the answer of the read was lost: that lease ends by itself.

        Raises:
            UnknownAgent: the session never joined.
        """
        known = await self._table.session(session)
        if known is None:
            raise UnknownAgent(f"the session {session} is not known", names=[])
        await self._table.keepalive(known["agent"], session, generation, shown or {})

    async def joined_ms(self, session: str) -> int:
        """Return when a session joined last, 0 if it is not known."""
        known = await self._table.session(session)
        return int(known.get("at", 0)) if known is not None else 0

    async def agent_of(self, session: str) -> str:
        """Return the agent of a session, which a rename may have changed.

        Raises:
            UnknownAgent: the session never joined, or has to join again: it was silent and lost its derived name.
        """
        agent = await self._table.agent_of(session)
        if agent is None:
            raise UnknownAgent(f"the session {session} is not known", names=[])
        return agent


def process_key(host: str | None, pid: int, start: str | None) -> str:
    """Return `host:pid:start`: unique over all machines, and over time, because a pid may be used again."""
    return f"{host or ''}:{pid}:{start or 0}"


def candidates(hello: Hello) -> list[str]:
    """Return the names a session may derive, best first; the last one depends on the session alone."""
    names = []
    if hello.terminal and _TAIL.fullmatch(hello.terminal):
        names.append(f"agent-{hello.terminal}")
    if hello.directory:
        names.append(directory_name(hello))
    own = hashlib.blake2b(hello.session.encode(), digest_size=4).hexdigest()
    return [*names, f"agent-{own}"]


def directory_name(hello: Hello) -> str:
    """Return the name that the first live session of a directory gets: its folder, and four digits of host and path."""
    folder = (
        unicodedata.normalize("NFKD", PurePosixPath(hello.directory or "/").name).encode("ascii", "ignore").decode()
    )
    plain = _NOT_IN_NAMES.sub("-", folder).strip("-._")[:LONGEST_FOLDER] or "agent"
    return f"{plain}-{_digest(hello, 2)}"


def earlier_name(hello: Hello) -> str | None:
    """Return the name that a directory's first session got before it was named after the folder."""
    return f"agent-{_digest(hello, 4)}" if hello.directory else None


def _digest(hello: Hello, size: int) -> str:
    place = f"{hello.host or ''}:{hello.directory}".encode(errors="surrogateescape")
    return hashlib.blake2b(place, digest_size=size).hexdigest()


def _about(hello: Hello) -> dict[str, str | int]:
    names = ("client", "directory", "claude_pid", "claude_start", "claude_socket", "process")
    kept = {name: getattr(hello, name) for name in names} | {"claude_session": hello.claude_session_id}
    return {name: value for name, value in kept.items() if value is not None}
