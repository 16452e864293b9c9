"""Who may write to a SQLite ledger: one server alone, or else any number of local commands.

A file beside the ledger carries the kernel's lock (`flock`): a server holds it alone for as long as it runs, a local
command shares it from its first write until it closes the ledger. The kernel lets go of it when a process dies, however
it dies, so that a crash leaves nothing to clear away. Who only reads needs no lock.
"""

import errno
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from scoring.errors import ConfigurationWrong

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

PATIENCE_SECONDS = 1.0
"""How long a lock that is taken is tried again: one that is just let go is held for a moment."""

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class WriterLock:
    """The lock of one open ledger. Any number of threads may use it."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger.resolve()  # the same file by another path has the same lock
        self._file = self._ledger.with_name(self._ledger.name + ".lock")
        self._descriptor: int | None = None
        self._guard = threading.Lock()
        self.is_enforced = fcntl is not None
        """Whether this system and the ledger's folder know such locks; else nobody is refused."""

    def share(self) -> None:
        """Holds it beside other local commands, from now on. ConfigurationWrong while a server has it alone."""
        with self._guard:
            if self._descriptor is None and self.is_enforced:
                self._descriptor = self._take(alone=False)

    def claim(self) -> None:
        """Holds it alone, from now on. ConfigurationWrong if a server or a local command holds it."""
        with self._guard:
            if self._descriptor is None and self.is_enforced:
                self._descriptor = self._take(alone=True)

    def release(self) -> None:
        """Lets go. The file is removed by the last who held it: a ledger at rest is one file."""
        with self._guard:
            if self._descriptor is None:
                return
            with suppress(OSError):  # somebody else holds it still, or will remove it
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_in_place(self._descriptor):
                    self._file.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, *, alone: bool) -> int | None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            descriptor = self._opened()
            if descriptor is None:
                return None
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                if self._is_in_place(descriptor):
                    return descriptor
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._refuse(descriptor, alone=alone)
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

    def _opened(self) -> int | None:
        """The file, opened, with the ledger's own permissions; None without a folder, which SQLite will tell of."""
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
        """Whether the file is the one that others will find, and not one that its last holder has removed."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._file.stat())
        except FileNotFoundError:
            return False

    def _refuse(self, descriptor: int, *, alone: bool) -> NoReturn:
        """Says who holds it: a lock that can be shared is held by local commands."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            by_server = False
        except BlockingIOError:
            by_server = True
        finally:
            os.close(descriptor)
        if not by_server:
            raise ConfigurationWrong(
                f"a local command is writing to {self._ledger}; wait until it has ended, then start the server again"
            )
        if alone:
            raise ConfigurationWrong(
                f"another server has {self._ledger} open, and a SQLite ledger has one writer; use that server, stop it,"
                " or name another ledger by SELLERTRUST_DATABASE_URL"
            )
        raise ConfigurationWrong(
            f"a server has {self._ledger} open, and a SQLite ledger has one writer; append through the server"
            " (sellertrust ledger append), or stop it first"
        )
