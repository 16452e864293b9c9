"""Find the measures in force, and their effects on a seller."""
