"""Postino: a durable mailbox for coding agents."""

__version__ = "0.1.0"
