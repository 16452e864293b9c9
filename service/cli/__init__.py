"""The command `sellertrust`. It makes the contract's calls over gRPC; import, export, upgrade and train run here.

Training, an extra, is imported when it is needed.
"""

import os
import sys
from io import TextIOWrapper

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # `connecting` replaces its lines about handshakes
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in `training`, and before LightGBM is loaded


def main() -> None:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # files are UTF-8 in any locale, too
            stream.reconfigure(encoding="utf-8", errors=stream.errors)
    try:
        from service.cli.app import run
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"error: the package {error.name} is missing\n")
        sys.stderr.write("next:  install sellertrust and what it needs: pip install sellertrust\n")
        sys.exit(6)
    sys.exit(run())
