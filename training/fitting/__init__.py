"""Fitting of a model: additive start, LightGBM, seeds, calibration, exposure slope, search for parameters, prior of rates."""
