"""Checks that guard a training."""
