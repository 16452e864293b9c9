"""Links between sellers: what they may do to one, and the rings that staff look at."""
