"""Entries: the table of kinds, the checks of their fields, violation types, lifecycle, incidents and derivation."""
