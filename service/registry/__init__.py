"""The model registry: immutable artifacts by digest, and an append-only log of who is champion, and why."""
