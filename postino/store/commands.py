"""What is sent for a call of a script: its keys, by the names in its header, and its arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from postino.store.keys import Keys
from postino.store.scripts import Script
from postino.store.wire import Encoded, Joinable, Joint, encode_words

Values = Mapping[str, str | int]  # arguments of a script by their names in its header


class Commands:
    """The calls of scripts under one key prefix."""

    def __init__(self, scripts: Mapping[str, Script], keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        #: what precedes the arguments is the same in every call of one script for one agent and sender
        self._usual_head = lru_cache(4096)(self._encoded_head)
        self._usual_parts = lru_cache(4096)(self._parts)
        self._joint = cache(self._make_joint)

    def of(
        self, name: str, agent: str, values: Values, keys: Mapping[str, str] | None = None, more: Sequence[str] = ()
    ) -> Encoded:
        """Return the call of the script `name` for `agent`; `keys` and `more` as `head` has them."""
        script, sender = self._scripts[name], str(values.get("sender", agent))
        arguments = encode_words(script.arguments(values))
        if keys is not None or more:
            return self._encoded_head(name, agent, sender, keys, more) + arguments
        if script.each:
            return Joinable(*self._usual_parts(name, agent, sender), arguments, int(values.get("limit", 1)))
        return self._usual_head(name, agent, sender) + arguments

    def head(
        self,
        name: str,
        agent: str = "",
        sender: str = "",
        keys: Mapping[str, str] | None = None,
        more: Sequence[str] = (),
    ) -> tuple[str | int, ...]:
        """Return what precedes the arguments; `keys` replaces keys by their names in the header, `more` follow them."""
        script, places = self._scripts[name], {"past_from": self._keys.of("past", sender), **(keys or {})}
        names = [*(places.get(key) or self._keys.named(key, agent) for key in script.keys), *more]
        return "EVALSHA", script.sha, len(names), *names

    def _encoded_head(
        self, name: str, agent: str, sender: str, keys: Mapping[str, str] | None = None, more: Sequence[str] = ()
    ) -> bytes:
        head = self.head(name, agent, sender, keys, more)
        return b"*%d\r\n" % (len(head) + len(self._scripts[name].args)) + encode_words(head)

    def _parts(self, name: str, agent: str, sender: str) -> tuple[Joint, bytes, bytes]:
        keys = self.head(name, agent, sender)[-self._scripts[name].each :]
        return self._joint(name), self._encoded_head(name, agent, sender), encode_words(keys)

    def _make_joint(self, name: str) -> Joint:
        script = self._scripts[name]
        shared = [self._keys.shared(each) for each in script.keys[: -script.each]]
        return Joint(script.sha, shared, script.each, len(script.args))
