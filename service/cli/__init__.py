"""The one command, `sellertrust`. What the contract has, it does over gRPC; import, export, upgrade and train run here.

Rooms meet only here: training is imported when it is needed, since it is an extra.
"""

import sys


def main() -> None:
    """Runs the command line and exits; says what to install if LightGBM's own library cannot be loaded."""
    try:
        from service.cli.app import run
    except OSError as error:
        if "libgomp" not in str(error):
            raise
        sys.stderr.write(
            "error: libgomp.so.1 is missing, which LightGBM needs\nnext:  install it: apt-get install libgomp1\n"
        )
        sys.exit(6)
    sys.exit(run())
