"""The steps of one training."""
