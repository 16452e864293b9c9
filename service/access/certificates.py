"""Client certificates: the principal that one names, its thumbprint, and when it is good, read once and remembered."""

import base64
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from service.access.principals import Principal, certificate_name

MAX_REMEMBERED = 10_000
_NO_VALUE_ERRORS = (x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)


class CertificateRefused(Exception):
    """A certificate proves nobody. The message says why, and nothing that stands in the certificate."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The content of a client certificate, whose chain the TLS handshake has verified."""

    principal: Principal
    thumbprint: str
    """SHA-256 of the whole certificate, in base64url without padding: what a token is bound to (RFC 8705)."""
    begins: float
    """Seconds since 1970 from which it is good; it ends with its principal."""


class Certificates:
    """Reads client certificates, each once. For any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._remembered: OrderedDict[bytes, Certificate] = OrderedDict()

    def read(self, pem: bytes) -> Certificate:
        """Parse a client certificate in PEM; each is parsed once and remembered.

        CertificateRefused if it names nobody, or is not valid now: a connection may outlive the certificate that opened
        it, so the time is compared at each call.
        """
        found = self._remembered.get(pem)
        if found is None:
            found = read_certificate(pem)
            with self._lock:
                self._remembered[pem] = found
                if len(self._remembered) > MAX_REMEMBERED:
                    self._remembered.popitem(last=False)
        if not found.begins <= self._clock() < found.principal.expires:
            raise CertificateRefused("its certificate has expired, or is not good yet")
        return found


def read_certificate(pem: bytes) -> Certificate:
    """Parse a certificate in PEM, valid now or not.

    CertificateRefused if it is malformed, or its subject alternative names name nobody.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        name = certificate_name(
            names.get_values_for_type(x509.UniformResourceIdentifier), names.get_values_for_type(x509.DNSName)
        )
    except x509.ExtensionNotFound:
        raise CertificateRefused(
            "its certificate has no subject alternative name; the common name is not read"
        ) from None
    except (ValueError, *_NO_VALUE_ERRORS) as error:
        raise CertificateRefused(
            str(error) if str(error).startswith("its ") else "its certificate is malformed"
        ) from None
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(SHA256())).rstrip(b"=").decode()
    principal = Principal(name, is_bound=True, expires=certificate.not_valid_after_utc.timestamp())
    return Certificate(principal, thumbprint, certificate.not_valid_before_utc.timestamp())
