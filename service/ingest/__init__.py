"""What brings entries in: files, foreign tables, brokers, and the queue of rows that find no seller."""
