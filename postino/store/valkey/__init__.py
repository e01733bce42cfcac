"""The Valkey server itself: the embedded one, its settings and its process."""
