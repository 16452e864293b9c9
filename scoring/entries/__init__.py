"""Entries: kinds, field checks, violation types, lifecycle, incidents and derivation."""
