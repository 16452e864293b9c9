"""The policy files: the shipped one, and how a configured one is read."""
