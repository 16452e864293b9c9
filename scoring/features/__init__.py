"""From entries to the inputs of a model: columns, facts, the exact fold, the table of features."""
