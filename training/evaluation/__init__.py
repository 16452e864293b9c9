"""Evaluation: how good a model is out of time, in figures with intervals, as pure functions over arrays.

`figures.evaluate(case)` computes all of them. It reads no file and no clock; chance comes from the seed of the case only.
"""
