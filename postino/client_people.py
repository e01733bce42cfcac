"""The calls of a client about who it is, and about people and their mail."""

from __future__ import annotations

from postino.transport import segment

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from postino.json_text import Json


class PeopleCalls:
    """The part of a client that concerns people; `_call` is the client's."""

    _call: Callable[..., Json]

    def people(self, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List the people that agents can write to. `here` is true of the one whose daemon this is."""
        return self._call("GET", "people", query={"limit": limit, "offset": offset})

    def register_person(self, name: str) -> Json:
        """Make a name that of a person; repeating changes nothing.

        Raises:
            NameTaken: it is that of an agent.
        """
        return self._call("POST", f"people/{segment(name, 'name')}", body={})

    def inbox(self, name: str, *, limit: int | None = None, before: str | None = None, render: bool = False) -> Json:
        """Return what is open in a person's inbox and in that of `human`, newest first, before an earlier `before`.

        Raises:
            UnknownAgent: there is no person of that name.
        """
        asked = {"limit": limit, "before": before, "render": "true" if render else None}
        return self._call("GET", f"people/{segment(name, 'name')}", query=asked)

    def seen(self, name: str, ids: list[str]) -> Json:
        """Open messages as a person: read and acknowledged, they stay open until answered or done."""
        return self._call("POST", f"people/{segment(name, 'name')}/seen", body={"ids": ids})

    def done(self, name: str, ids: list[str]) -> Json:
        """Mark messages of a person as done, seen or not."""
        return self._call("POST", f"people/{segment(name, 'name')}/done", body={"ids": ids})

    def whoami(self) -> Json:
        """Return who this client is to the daemon: the agent of its token or session, or a person."""
        return self._call("GET", "whoami")

    def heartbeat(self, name: str) -> Json:
        """Keep an agent online for 30 s."""
        return self._call("POST", f"agents/{segment(name, 'name')}/heartbeat", body={})

    def signin_code(self) -> Json:
        """Return the address of the page with a single-use code in it. Over the unix socket only."""
        return self._call("POST", "signin/code", body={})
