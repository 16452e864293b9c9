"""A random sample of listings for test buys, and the share of fakes that it proves."""
