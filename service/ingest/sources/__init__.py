"""Sources of rows for the ledger."""
