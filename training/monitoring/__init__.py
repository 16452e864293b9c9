"""Served models against outcomes."""
