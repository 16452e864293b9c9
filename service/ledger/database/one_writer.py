"""One process alone may write to a SQLite ledger: a server, or local commands that share one process.

The kernel's lock (`flock`) on a file beside the ledger ends with its process. Readers need no lock.
"""

import errno
import fcntl
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from scoring.base.errors import ConfigurationWrong

PATIENCE_SECONDS = 1.0

COMMAND_PATIENCE_SECONDS = 5.0

_SERVER, _COMMAND = b"s", b"c"
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class WriterLock:
    """One open ledger's lock. Thread-safe. Taking it does nothing if it is held or unenforced."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger.resolve()
        self._file = self._ledger.with_name(self._ledger.name + ".lock")
        self._descriptor: int | None = None
        self._is_shared = False
        self._guard = threading.Lock()
        self.is_enforced = True
        """False: the system lacks locks, and every process is admitted."""

    def share(self) -> None:
        """Take the lock for this process's local commands. Raises ConfigurationWrong while another process has it."""
        with self._guard, _COMMANDS_GUARD:
            if self._descriptor is not None or not self.is_enforced:
                return
            lock = _COMMANDS.get(self._file)
            if lock is None:
                descriptor = self._take(_COMMAND)
                if descriptor is None:
                    return
                lock = _COMMANDS[self._file] = _HeldLock(descriptor)
            lock.holders += 1
            self._descriptor, self._is_shared = lock.descriptor, True

    def claim(self) -> None:
        """Take the lock for this server alone. Raises ConfigurationWrong if another process has it."""
        with self._guard:
            if self._descriptor is None and self.is_enforced:
                self._descriptor = self._take(_SERVER)

    def release(self) -> None:
        """Release the lock if held; the last holder removes the file."""
        with self._guard, _COMMANDS_GUARD:
            if self._descriptor is None:
                return
            descriptor, self._descriptor = self._descriptor, None
            if self._is_shared:
                self._is_shared = False
                lock = _COMMANDS[self._file]
                lock.holders -= 1
                if lock.holders:
                    return
                del _COMMANDS[self._file]
            with suppress(OSError):
                if self._is_in_place(descriptor):
                    self._file.unlink()
            os.close(descriptor)

    def _take(self, role: bytes) -> int | None:
        started_at = time.monotonic()
        while True:
            descriptor = self._open_file()
            if descriptor is None:
                return None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_in_place(descriptor):
                    os.pwrite(descriptor, role, 0)
                    return descriptor
            except BlockingIOError:
                holder = os.pread(descriptor, 1, 0)
                is_short = role == holder == _COMMAND
                if time.monotonic() - started_at > (COMMAND_PATIENCE_SECONDS if is_short else PATIENCE_SECONDS):
                    os.close(descriptor)
                    self._refuse(role, holder)
                time.sleep(0.02)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    os.close(descriptor)
                    raise
                self.is_enforced = False
                self._file.unlink(missing_ok=True)
                os.close(descriptor)
                return None
            os.close(descriptor)

    def _open_file(self) -> int | None:
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(OSError):
                os.fchmod(descriptor, self._ledger.stat().st_mode & 0o666)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ConfigurationWrong(
                f"{self._file} cannot be written: {(error.strerror or str(error)).lower()}; writing to the ledger needs"
                " the right to make this file"
            ) from None
        return descriptor

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._file.stat())
        except FileNotFoundError:
            return False

    def _refuse(self, role: bytes, holder: bytes) -> NoReturn:
        if holder == _COMMAND:
            then = "start the server" if role == _SERVER else "run this command"
            raise ConfigurationWrong(
                f"another local command is writing to {self._ledger}, and a SQLite ledger has one writer; wait until it has"
                f" ended, then {then} again: nothing was written"
            )
        if role == _SERVER:
            raise ConfigurationWrong(
                f"another server has {self._ledger} open, and a SQLite ledger has one writer; use that server, stop it,"
                " or name another ledger by SELLERTRUST_DATABASE_URL"
            )
        raise ConfigurationWrong(
            f"a server has {self._ledger} open, and a SQLite ledger has one writer; append through the server"
            " (sellertrust ledger append), or stop it first"
        )


@dataclass(slots=True)
class _HeldLock:
    descriptor: int
    holders: int = 0


_COMMANDS: dict[Path, _HeldLock] = {}
_COMMANDS_GUARD = threading.Lock()
