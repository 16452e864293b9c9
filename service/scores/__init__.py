"""Scores from the ledger: the scorer, the champion that it follows, the shadow beside it."""
