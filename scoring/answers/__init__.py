"""Answers that people can act on: causes, the way back, and grounds."""
