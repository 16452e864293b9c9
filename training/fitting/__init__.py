"""From rows to a model's tables."""
