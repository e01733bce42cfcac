"""What a Claude Code session is notified of, and when."""
