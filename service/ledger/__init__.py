"""The ledger store: one append-only table of entries, on SQLite or PostgreSQL, and the only place that knows SQL."""
