"""What sessions of Codex, Gemini CLI and opencode are notified of, how their reads are acknowledged, who is woken."""
