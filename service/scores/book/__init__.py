"""Remembered answers of sellers."""
