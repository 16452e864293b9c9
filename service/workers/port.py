import socket
from collections.abc import Iterator
from contextlib import contextmanager

from scoring.base.errors import ConfigurationWrong
from service.api.listening import listening_error
from service.settings import host_and_port


@contextmanager
def holding_port(address: str) -> Iterator[str]:
    """Hold the port of HOST:PORT for the workers; yield the address with the real port if it was 0.

    Raises ConfigurationWrong if any process has the port. Only sockets of this user may share it (SO_REUSEPORT); the
    supervisor does not listen.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigurationWrong("this system cannot share a port among processes: set SELLERTRUST_PROCESSES to 1")
    host, port = host_and_port(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        holder = socket.socket(family, kind, protocol)
    except OSError:
        raise listening_error(address, "SELLERTRUST_ADDRESS") from None
    with holder:
        try:
            holder.bind(place)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except OSError:
            raise listening_error(address, "SELLERTRUST_ADDRESS") from None
        yield f"{address.rpartition(':')[0]}:{holder.getsockname()[1]}"
