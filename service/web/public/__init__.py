"""Pages for people outside."""
