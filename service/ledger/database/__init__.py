"""Connect to the SQLite or PostgreSQL database, and define its tables."""
