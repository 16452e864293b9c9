"""Checks of what a model is to learn from: of the data, and of leaks from the future into it."""
