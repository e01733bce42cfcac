"""The file of the named tokens: what the next daemon makes of it, and what it refuses."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from postino.errors import BadField
from postino.rest.named_tokens import NamedTokens


async def test_an_expired_token_is_listed_and_says_when_it_ended(home: Any) -> None:
    tokens = NamedTokens(home.tokens)
    text, caller = await tokens.create("ci", "publish", 1)
    assert tokens.any_valid()
    kept = replace_all(home.tokens, expires=int(time.time()) - 5)

    assert [each.has_expired for each in kept.all()] == [True]
    assert not kept.any_valid()
    found = kept.find(text.encode())
    assert found is not None
    assert "expired at 20" in found.refusal
    assert caller.token.id == found.token.id
    old = replace_all(home.tokens, expires=int(time.time()) - 31 * 86_400)
    await old.create("other", "publish", None)
    assert [each.name for each in old.all()] == ["other"]


def replace_all(path: Any, **changes: Any) -> NamedTokens:
    """Change every token in the file; return what the next daemon makes of it."""
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({"tokens": [each | changes for each in kept["tokens"]]}))
    return NamedTokens(path)


@pytest.mark.parametrize("content", ["", "[]", '{"tokens": [{}]}', '{"tokens": [{"id": "a", "role": "root"}]}'])
def test_a_damaged_file_is_refused_not_forgotten(home: Any, content: str) -> None:
    home.tokens.write_text(content)

    with pytest.raises(BadField, match=r"tokens\.json, which holds the named tokens, cannot be read"):
        NamedTokens(home.tokens)


def test_a_file_that_others_can_write_is_refused(home: Any) -> None:
    home.tokens.write_text('{"tokens": []}')
    home.tokens.chmod(0o620)

    with pytest.raises(BadField, match="can be written by others"):
        NamedTokens(home.tokens)


async def test_a_token_that_cannot_be_kept_is_not_made(home: Any) -> None:
    tokens = NamedTokens(home.tokens)
    await tokens.create("ci", "publish", None)
    home.tokens.with_suffix(".new").mkdir()

    with pytest.raises(BadField, match=r"tokens\.json cannot be written"):
        await tokens.create("two", "publish", None)
    with pytest.raises(BadField):
        await tokens.revoke("ci", None)
    assert [(each.name, each.has_expired) for each in tokens.all()] == [("ci", False)]
