"""The worker that records the measures that a policy's rules ask for."""
