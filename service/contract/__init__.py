"""Conversion between messages of the contract and the domain."""
