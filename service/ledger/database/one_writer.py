"""Who may write to a SQLite ledger: one process alone, a server or a local command.

A file beside the ledger carries the kernel's lock (`flock`): a server holds it for as long as it runs, a local command
from its first write until it closes the ledger. What one process opens several times for local commands shares its lock.
The kernel lets go of it when a process dies, however it dies, so that a crash leaves nothing to clear away. Who only reads
needs no lock. The file says which of the two holds it, for whoever is refused.
"""

import errno
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from scoring.base.errors import ConfigurationWrong

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

PATIENCE_SECONDS = 1.0
"""How long a lock that is taken is tried again: one that is just let go is held for a moment."""

COMMAND_PATIENCE_SECONDS = 5.0
"""How long a local command waits for another, which may end soon; a server does not."""

_SERVER, _COMMAND = b"s", b"c"
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class WriterLock:
    """The lock of one open ledger. Any number of threads may use it."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger.resolve()  # the same file by another path has the same lock
        self._file = self._ledger.with_name(self._ledger.name + ".lock")
        self._descriptor: int | None = None
        self._is_shared = False
        self._guard = threading.Lock()
        self.is_enforced = fcntl is not None
        """Whether this system and the ledger's folder know such locks; else nobody is refused."""

    def share(self) -> None:
        """Take the lock for the local commands of this process, or join their hold on it.

        All ledgers that one process has open on one file share one hold. Nothing happens if this ledger has the lock
        already, or if locks are not enforced here. ConfigurationWrong while another process has it.
        """
        with self._guard, _OF_COMMANDS:
            if self._descriptor is not None or not self.is_enforced:
                return
            held = _COMMANDS.get(self._file)
            if held is None:
                descriptor = self._take(_COMMAND)
                if descriptor is None:
                    return
                held = _COMMANDS[self._file] = _Held(descriptor)
            held.holders += 1
            self._descriptor, self._is_shared = held.descriptor, True

    def claim(self) -> None:
        """Take the lock for a server, until `release`.

        ConfigurationWrong if anybody has it, this process's commands included. Nothing happens if it has it already, or
        if locks are not enforced here.
        """
        with self._guard:
            if self._descriptor is None and self.is_enforced:
                self._descriptor = self._take(_SERVER)

    def release(self) -> None:
        """Give the lock back; the last holder removes the lock file.

        A ledger at rest is one file. Nothing happens without the lock.
        """
        with self._guard, _OF_COMMANDS:
            if self._descriptor is None:
                return
            descriptor, self._descriptor = self._descriptor, None
            if self._is_shared:
                self._is_shared = False
                held = _COMMANDS[self._file]
                held.holders -= 1
                if held.holders:
                    return
                del _COMMANDS[self._file]
            with suppress(OSError):  # the folder may be gone
                if self._is_in_place(descriptor):
                    self._file.unlink()
            os.close(descriptor)

    def _take(self, role: bytes) -> int | None:
        """Return the file's descriptor once the lock is held in this role.

        None where there are no locks.
        """
        begun = time.monotonic()
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
                if time.monotonic() - begun > (COMMAND_PATIENCE_SECONDS if is_short else PATIENCE_SECONDS):
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
        """Return the file, opened, with the ledger's own permissions.

        None without a folder, which SQLite will report.
        """
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(OSError):  # who did not make it may not change it
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
        """Return whether the file is the one that others will find.

        Its last holder may have removed it, and another be in its place.
        """
        try:
            return os.path.samestat(os.fstat(descriptor), self._file.stat())
        except FileNotFoundError:
            return False

    def _refuse(self, role: bytes, holder: bytes) -> NoReturn:
        """Say who holds it, and what whoever wanted it can do."""
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
class _Held:
    """The lock that the local commands of this process share."""

    descriptor: int
    """The descriptor of its file."""
    holders: int = 0
    """How many hold it."""


_COMMANDS: dict[Path, _Held] = {}
_OF_COMMANDS = threading.Lock()
