"""What serves gRPC, and nothing else does: server, calls, threads, servicers, reads, logs."""
