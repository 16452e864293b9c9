"""Score sellers, and explain the scores."""
