"""Answers to people: causes, the way back, grounds, the transparency report."""
