"""Everything that speaks to Valkey; no other package names it or its keys."""
