"""The MCP face, inside the daemon: one server of the SDK per relay connection.

Importing the SDK takes half a second, so only the code that serves relays may import it.
"""
