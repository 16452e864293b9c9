"""Connections to a server, and the diagnosis of failed ones."""

import re
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

_TROUBLES = {
    "WRONG_VERSION_NUMBER": (
        "the server does not speak TLS",
        "take ca.crt out of SELLERTRUST_TARGET_CREDENTIALS, or ask where TLS is spoken",
    ),
    "CERTIFICATE_VERIFY_FAILED": (
        "the certificate of the server is not trusted",
        "ca.crt in SELLERTRUST_TARGET_CREDENTIALS must hold the authority that signed it",
    ),
    "Hostname Verification Check failed": (
        "the certificate of the server is for another name",
        "SELLERTRUST_TARGET must be a name in it",
    ),
}
"""Problem and remedy by what gRPC says of a failed handshake."""

_REASON = re.compile(r"CERTIFICATE_VERIFY_FAILED: (?P<reason>[^:]+)")

_TROUBLE_OF_MISSING_FILE = {
    "ca.crt": (
        "the server closes the connection: perhaps it speaks TLS, and this command does not",
        "put the authorities of its certificate into ca.crt in SELLERTRUST_TARGET_CREDENTIALS",
    ),
    "tls.crt": (
        "the server asks for a client certificate, and none is set",
        "put tls.crt and tls.key into the folder SELLERTRUST_TARGET_CREDENTIALS",
    ),
}
"""By the first file that the settings lack."""

_CERTIFICATE_REFUSED = (
    "the server refuses the client certificate",
    "put a tls.crt into SELLERTRUST_TARGET_CREDENTIALS that the server's client-ca.crt signed",
)


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
    address = target or settings.target
    new_client = make_client(settings, address, service_config=service_config)
    with new_client as client:
        try:
            yield client
        except SellertrustCallError as error:
            trouble = None
            if error.code is grpc.StatusCode.UNAVAILABLE and not error.reason:
                trouble = find_connection_trouble(settings, error.message)
            if error.reason == "SELLER_NOT_FOUND" and (
                remedy := describe_empty_marketplace(client, error.metadata["seller"])
            ):
                error.add_note(remedy)
            if trouble is not None:
                error.message, remedy = trouble
                error.add_note(remedy)
            elif error.code is grpc.StatusCode.UNAVAILABLE and address.startswith("localhost:"):
                error.add_note("localhost has several addresses, and this is told of the last: try 127.0.0.1")
            raise


def make_client(
    settings: Settings, address: str, token: str | None = None, service_config: str | None = None
) -> Client:
    """Return a client with the configured credentials; `token` replaces the configured one.

    Raises ConfigurationWrong if they are unusable.
    """
    _require_usable_files(settings)
    try:
        return Client(
            address,
            tls=settings.target_file("ca.crt"),
            certificate=settings.target_file("tls.crt"),
            key=settings.target_file("tls.key"),
            token=settings.target_file("token") if token is None else lambda: token,
            deadline_seconds=PATIENCE_SECONDS,
            service_config=service_config,
        )
    except OSError as error:
        raise ConfigurationWrong(f"the token in SELLERTRUST_TARGET_CREDENTIALS cannot be used: {error}") from None


def describe_empty_marketplace(client: Client, name: str) -> str:
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


def _require_usable_files(settings: Settings) -> None:
    authorities, certificate = settings.target_file("ca.crt"), settings.target_file("tls.crt")
    if authorities is None:
        return
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationWrong(
            f"ca.crt in SELLERTRUST_TARGET_CREDENTIALS cannot be used: {error}; give authorities in PEM"
        ) from None
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, settings.target_file("tls.key"), password=lambda: b"")
        except OSError as error:
            raise ConfigurationWrong(
                f"tls.crt or tls.key in SELLERTRUST_TARGET_CREDENTIALS cannot be used: {error}; give PEM files of one"
                " certificate and its unencrypted key"
            ) from None


def find_connection_trouble(settings: Settings, message: str) -> tuple[str, str] | None:
    """Return the (problem, remedy) of a failed handshake, by the error's message; None for another failure."""
    if "last error:" not in message:
        return None
    if "Socket closed" in message:
        return next(
            (trouble for file, trouble in _TROUBLE_OF_MISSING_FILE.items() if settings.target_file(file) is None),
            _CERTIFICATE_REFUSED,
        )
    for mark, (problem, remedy) in _TROUBLES.items():
        if mark in message:
            reason = _REASON.search(message)
            return (f"{problem}: {reason['reason']}" if reason else problem), remedy
    return None
