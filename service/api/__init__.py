"""The gRPC server: calls, threads, servicers, reads, logs."""
