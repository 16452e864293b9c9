"""Connections to a server, and the diagnosis of failed ones.

gRPC reports every failed handshake as a failed connection. A second try with Python's TLS gives the reason.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from scoring.base.errors import ConfigurationWrong
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from service.settings import Settings

PATIENCE_SECONDS = 15.0
"""A person's wait for one call; a checkout gives up after a second."""

_LOOK_SECONDS = 2.0
_TARGET = re.compile(r"\[?(?P<host>[0-9A-Za-z.:-]+?)\]?:(?P<port>[0-9]+)")
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The preface of HTTP/2 with empty settings, which a server answers."""


@contextmanager
def connect(
    settings: Settings,
    target: str | None = None,
    service_config: str | None = None,
) -> Iterator[Client]:
    """Yield a client of `target`, by default the configured server, with the configured credentials.

    Raises ConfigurationWrong if they are unusable. If the server is unreachable, the SellertrustCallError has the
    reason, and the remedy as its note.
    """
    place = target or settings.target
    made = make_client(settings, place, service_config=service_config)
    with made as client:
        try:
            yield client
        except SellertrustCallError as error:
            trouble = None
            if error.code is grpc.StatusCode.UNAVAILABLE and not error.reason:
                trouble = connection_trouble(settings, place)
            if error.reason == "SELLER_NOT_FOUND" and (remedy := describe_empty(client, error.metadata["seller"])):
                error.add_note(remedy)
            if trouble is not None:
                error.message, remedy = trouble
                error.add_note(remedy)
            raise


def make_client(settings: Settings, place: str, token: str | None = None, service_config: str | None = None) -> Client:
    """Return a client with the configured credentials; `token` replaces the configured one.

    Raises ConfigurationWrong if they are unusable.
    """
    tls_context(settings)
    try:
        return Client(
            place,
            tls=settings.target_file("ca.crt"),
            certificate=settings.target_file("tls.crt"),
            key=settings.target_file("tls.key"),
            token=settings.target_file("token") if token is None else lambda: token,
            deadline_seconds=PATIENCE_SECONDS,
            service_config=service_config,
        )
    except OSError as error:
        raise ConfigurationWrong(f"the token in SELLERTRUST_TARGET_CREDENTIALS cannot be used: {error}") from None


def describe_empty(client: Client, name: str) -> str:
    """Return what to do if the marketplace has no entries that the caller may see, else "".

    Also "" if the call fails. `name`: any name in it, such as `marketplaces/demo/sellers/s-1`.
    """
    marketplace = name.split("/")[1]
    try:
        if any(True for _ in client.list_entries(marketplace, page_size=1)):
            return ""
    except SellertrustCallError:
        return ""
    return f"marketplace {marketplace!r} has no entries: name another one by --marketplace or SELLERTRUST_MARKETPLACE"


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the TLS context, None for plain text. Raises ConfigurationWrong if a configured file is unusable."""
    authorities, certificate = settings.target_file("ca.crt"), settings.target_file("tls.crt")
    if authorities is None:
        return None
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationWrong(
            f"ca.crt in SELLERTRUST_TARGET_CREDENTIALS cannot be used: {error}; give authorities in PEM"
        ) from None
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, settings.target_file("tls.key"), password=lambda: b"")
        except OSError as error:
            raise ConfigurationWrong(
                f"tls.crt or tls.key in SELLERTRUST_TARGET_CREDENTIALS cannot be used: {error}; give PEM files of one"
                " certificate and its unencrypted key"
            ) from None
    return context


def connection_trouble(settings: Settings, target: str) -> tuple[str, str] | None:
    """Connect to `target` to find out why calls fail: return (problem, remedy).

    Tries a TLS handshake if the settings ask for TLS, else tests whether the server does. None if the reason is another
    than TLS. Raises ConfigurationWrong if a configured file is unusable.
    """
    match = _TARGET.fullmatch(target)
    if match is None:
        return None
    host, port = match["host"], int(match["port"])
    context = tls_context(settings)
    try:
        with socket.create_connection((host, port), timeout=_LOOK_SECONDS) as plain:
            return _plain_trouble(plain, target) if context is None else _tls_trouble(settings, context, plain, host)
    except OSError:
        return None


def _plain_trouble(plain: socket.socket, target: str) -> tuple[str, str] | None:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        with anybody.wrap_socket(plain):
            pass
    except OSError:
        return None
    remedy = "put the authorities of its certificate into ca.crt in SELLERTRUST_TARGET_CREDENTIALS"
    return f"the server at {target} speaks TLS, and this command does not", remedy


def _tls_trouble(
    settings: Settings, context: ssl.SSLContext, plain: socket.socket, host: str
) -> tuple[str, str] | None:
    """Return the problem of a handshake or of the data after it: TLS 1.3 checks certificates after the handshake."""
    try:
        secured = context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        problem = f"the certificate of the server is not trusted: {error.verify_message}"
        return (
            problem,
            "ca.crt in SELLERTRUST_TARGET_CREDENTIALS must hold the authority that signed it, and SELLERTRUST_TARGET"
            " a name in it",
        )
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            return _certificate_trouble(settings)
        return (
            "the server does not speak TLS",
            "take ca.crt out of SELLERTRUST_TARGET_CREDENTIALS, or ask where TLS is spoken",
        )
    with secured:
        try:
            secured.sendall(_HTTP2)
            has_answered = bool(secured.recv(1))
        except TimeoutError:
            return None
        except OSError:  # ssl.SSLError is one
            has_answered = False
    return None if has_answered else _certificate_trouble(settings)


def _certificate_trouble(settings: Settings) -> tuple[str, str]:
    if settings.target_file("tls.crt") is None:
        problem = "the server asks for a client certificate, and none is set"
        return problem, "put tls.crt and tls.key into the folder SELLERTRUST_TARGET_CREDENTIALS"
    problem = "the server refuses the client certificate"
    return problem, "put a tls.crt into SELLERTRUST_TARGET_CREDENTIALS that the server's client-ca.crt signed"
