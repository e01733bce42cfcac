"""The only code that speaks Valkey."""
