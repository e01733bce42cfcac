"""`postino mcp`: stdio on one side, the daemon's unix socket on the other. Standard library only."""
