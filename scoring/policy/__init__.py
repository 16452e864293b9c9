"""The policy: what follows from points and confirmed facts, as data with a digest."""
