"""The import of the SDK, which an update may make fail once."""

from __future__ import annotations

import pytest

from postino.broker import Broker
from postino.mcp import face
from postino.mcp.connected import ConnectedSessions


async def test_an_import_that_failed_is_tried_again(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    made = face.McpFace(broker, ConnectedSessions())
    name = face.MODULE
    monkeypatch.setattr(face, "MODULE", "postino.mcp.not_there_yet")
    with pytest.raises(ModuleNotFoundError):
        await made.loaded()

    monkeypatch.setattr(face, "MODULE", name)
    await made.loaded()
    assert len(await made.http()) == 0
    await made.close()
