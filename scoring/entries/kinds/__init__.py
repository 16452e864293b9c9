"""The kinds of entries: one dataclass per kind, and the table of kinds."""
