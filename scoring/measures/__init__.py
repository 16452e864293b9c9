"""Find the measures in force, with what they did to a seller."""
