"""Gates before a promotion."""
