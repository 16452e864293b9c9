"""Append entries while the lock of the ledger is held."""
