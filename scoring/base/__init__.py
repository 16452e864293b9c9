"""Errors, enumerations, times and arrays."""
