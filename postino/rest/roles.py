"""The roles of named tokens, least first: each may do what those before it may."""

from __future__ import annotations

from typing import Literal

Role = Literal["publish", "agent", "admin"]

PUBLISH: Role = "publish"  # sends, and sees what became of what it sent
AGENT: Role = "agent"  # acts as the agent of its name
ADMIN: Role = "admin"  # acts for every agent

ROLES: tuple[Role, ...] = (PUBLISH, AGENT, ADMIN)
