import socket

from scoring.base.errors import ConfigurationWrong
from service.settings import host_and_port


def probe_listening_error(address: str, variable: str) -> ConfigurationWrong:
    """Return why HOST:PORT cannot be opened, by opening it again. `variable`: the setting of the address."""
    host, port = host_and_port(address)
    reason = "another process was listening there"
    try:
        family, kind, protocol, _, address_info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address_info)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    return ConfigurationWrong(
        f"cannot listen on {address}: {reason}; stop what listens there, or set {variable} to another address"
        " (port 0: any free one)"
    )
