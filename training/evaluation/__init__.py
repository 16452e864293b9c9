"""Evaluation: how good a model is out of time, in figures with intervals, as pure functions over arrays."""
