"""A year of the simulated market under terms of trade: whom a policy stops, and whom it hits."""
