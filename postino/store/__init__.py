"""Everything that speaks Valkey. No other room names it."""
