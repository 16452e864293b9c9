"""Several processes that serve on one port, and the one that starts, watches and ends them. Never a call of the contract."""
