"""What a Claude Code session is told of its mail, and when."""
