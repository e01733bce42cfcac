"""What the user of a session is told once."""

from __future__ import annotations

import pytest

from postino import __version__
from postino.claude import warnings


async def test_a_session_whose_mcp_server_does_not_run_is_told_how_to_start_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = warnings.Warnings()
    assert told.of("SessionStart", "h:1:2", None, __version__) == ""  # it may be starting
    monkeypatch.setattr(warnings, "CONNECT_S", 0.0)

    assert told.of("PostToolBatch", "h:1:2", None, __version__) == ""  # nobody looks
    said = told.of("UserPromptSubmit", "h:1:2", None, __version__)
    assert "does not run" in said and "/mcp" in said and "Reconnect" in said
    assert told.of("UserPromptSubmit", "h:1:2", None, __version__) == ""
