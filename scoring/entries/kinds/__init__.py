"""The kinds of entries: a dataclass a kind, and the table of them all."""
