"""The connections of relays on the unix socket: pass each to the MCP face once that is imported."""

from __future__ import annotations

import asyncio

import msgspec

from postino.mcp.face import McpFace

FAREWELL_S = 1.2  # for sessions to answer what is in progress and release what they hold


class Relays:
    """The connected relays, one task each. The owner awaits `close`."""

    def __init__(self, face: McpFace) -> None:
        self._face = face
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one relay from now on."""
        task = asyncio.get_running_loop().create_task(self._serve_one(reader, writer), name="relay")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End every session: each tells its relay and releases what it holds."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()  # makes it send `bye`
        if tasks:
            await asyncio.wait(tasks, timeout=FAREWELL_S)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._face.loaded()
        except asyncio.CancelledError:
            writer.write(b'{"postino":"bye"}\n')
            writer.close()
            raise
        except Exception as error:
            refused = {"postino": "refused", "error": f"The postino daemon cannot serve MCP: {error}; see its log"}
            writer.write(msgspec.json.encode(refused) + b"\n")
            writer.close()
        else:
            from postino.mcp.relay_connection import serve_relay

            await serve_relay(reader, writer, self._face.broker, self._face.sessions)
