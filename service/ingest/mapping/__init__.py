"""The mapping language: rows in, entries out."""
