"""Errors, enumerations, times and arrays for every room."""
