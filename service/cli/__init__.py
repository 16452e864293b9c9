"""The one command, `sellertrust`. What the contract has, it does over gRPC; import, export, upgrade and train run here.

Rooms meet only here: training is imported when it is needed, since it is an extra.
"""

import os
import sys

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # whose lines about handshakes `connecting` replaces
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in `training`, and before anything loads LightGBM


def main() -> None:
    """Run the command line and exit."""
    try:
        from service.cli.app import run
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"error: the package {error.name} is missing\n")
        sys.stderr.write("next:  install sellertrust and what it needs: pip install sellertrust\n")
        sys.exit(6)
    sys.exit(run())
