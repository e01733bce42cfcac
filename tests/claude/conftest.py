"""Connected sessions that are notified of mail, on a real broker."""

from __future__ import annotations

from tests.relays import connect as connect
