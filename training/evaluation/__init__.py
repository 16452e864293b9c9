"""Measure how good a model is out of time, as pure functions over arrays; all chance comes from the case's seed."""
