"""A model's report as a page."""
