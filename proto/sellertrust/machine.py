"""Facts about the local machine, for client and server: changed files, loopback."""

import ipaddress
import re
from pathlib import Path

FileState = tuple[int, int, int]


def file_state(path: Path) -> FileState:
    """Return a value that changes when a file is written or replaced. Raises OSError if it is missing."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def is_loopback_host(host: str) -> bool:
    """Return whether a host is this machine. Names except localhost are not.

    An IPv6 address has no brackets.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_this_machine(target: str) -> bool:
    """Return whether a gRPC target names this machine: `unix:`, or a loopback address with or without a port."""
    address = target.removeprefix("dns:///")
    return target.startswith("unix:") or is_loopback_host(re.sub(r":\w*$", "", address).strip("[]"))
