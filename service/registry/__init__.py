"""The model registry: immutable artifacts by digest, and an append-only log of alias moves."""
