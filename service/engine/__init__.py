"""Hand the calls of grpcio to bounded pools of threads."""
