"""Ends with 0 if the server at a target is SERVING: `python -m sellertrust.health unix:/run/sellertrust/socket`.

For probes of containers; it loads only gRPC, and speaks plain text.
"""

import sys
from typing import Any

import grpc

SECONDS = 3.0
SERVING = b"\x08\x01"
"""`HealthCheckResponse`, without its stubs, which a client does not have."""


def main(target: str = "127.0.0.1:50051") -> int:
    """Return 0 if the server is SERVING within SECONDS, else 1. A server with TLS gives 1."""
    with grpc.insecure_channel(target) as channel:
        try:
            check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            return int(check(b"", timeout=SECONDS, wait_for_ready=True) != SERVING)
        except grpc.RpcError:
            return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
