"""The ledger: one append-only table of entries, on SQLite or PostgreSQL. Only this package contains SQL."""
