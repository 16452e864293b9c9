"""The pure core: facts in, score out."""
