"""The one command, `sellertrust`. What the contract has, it does over gRPC; import, export, upgrade and train run here.

Rooms meet only here: training is imported when it is needed, since it is an extra.
"""

import sys
from typing import NoReturn


def main() -> None:
    """Runs the command line and exits; says what to install if a package or LightGBM's own library is missing."""
    try:
        from service.cli.app import run
    except OSError as error:
        if "libgomp" not in str(error):
            raise
        _end("libgomp.so.1 is missing, which LightGBM needs", "install it: apt-get install libgomp1", 6)
    except ModuleNotFoundError as error:
        _end(
            f"the package {error.name} is missing", "install sellertrust and what it needs: pip install sellertrust", 6
        )
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run())


def _end(problem: str, remedy: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {problem}\nnext:  {remedy}\n")
    sys.exit(code)
