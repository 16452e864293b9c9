"""Evaluation: how good a model is out of time, in figures with intervals, as pure functions over arrays.

`evaluate(case)` makes all of them. No file, no clock; chance only from the seed of the case.
"""
