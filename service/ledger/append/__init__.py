"""Append entries under the ledger's lock."""
