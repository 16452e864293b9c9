"""The badge in HTTP: a process of its own that asks the server over gRPC, as any caller does, and knows nothing else."""
