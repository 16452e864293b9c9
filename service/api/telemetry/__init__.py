"""Tell operators what the server does."""
