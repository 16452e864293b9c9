"""Read what is on record, as of a cut."""
