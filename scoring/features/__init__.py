"""From entries to a model's inputs: columns, facts, the exact fold, the table of features."""
