"""The daemon's side of a relay, on a real broker."""

from __future__ import annotations

from tests.relays import connect as connect
