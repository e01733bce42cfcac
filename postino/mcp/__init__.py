"""The MCP face, inside the daemon: one SDK server per relay connection.

Importing it costs half a second, which is the SDK's: only what serves a relay may do so.
"""
