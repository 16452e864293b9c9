"""Measure how good a model is out of time, as pure functions over arrays.

`figures.evaluate(case)` computes all figures. It reads no file and no clock; all chance comes from the case's seed.
"""
