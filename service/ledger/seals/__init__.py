"""Prove that no recorded entry was changed, lost or disclosed."""
