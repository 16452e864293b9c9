"""What a client and a server ask alike of the machine that they run on: whether files have changed, what loopback is."""

import ipaddress
from pathlib import Path

FileState = tuple[int, int, int]


def file_state(path: Path) -> FileState:
    """Return a value that changes when a file is written, or another one put in its place.

    OSError if it is not there.
    """
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def is_loopback_host(host: str) -> bool:
    """Return whether a host is this machine alone.

    An IPv6 address is given without brackets. A name but localhost is not.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
