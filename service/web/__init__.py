"""The badge in HTTP: a process of its own that calls the server over gRPC."""
