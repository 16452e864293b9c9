"""Fitting a model: additive start, LightGBM, seeds, tuning, the prior of rates."""
