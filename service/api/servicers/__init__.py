"""Implement the services of the contract."""
