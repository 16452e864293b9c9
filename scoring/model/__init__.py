"""A published model: its artifact, trees, certificate, scale, and the interval of its points."""
