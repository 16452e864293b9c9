import base64
import time
from collections.abc import Callable
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from scoring.base.frozen import frozen
from service.access.principals import Principal, certificate_name

MAX_REMEMBERED = 10_000
_NO_VALUE_ERRORS = (x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)


class CallerCertificateRefused(Exception):
    """The message quotes nothing from the certificate."""


@frozen
class Certificate:
    """Its chain was verified by the TLS handshake."""

    principal: Principal
    thumbprint: str
    """SHA-256 of the certificate in base64url without padding, as in RFC 8705."""
    begins: float
    """In seconds since 1970."""


class Certificates:
    """Thread-safe."""

    def __init__(self) -> None:
        self._read: Callable[[bytes], Certificate] = lru_cache(MAX_REMEMBERED)(read_certificate)

    def read(self, pem: bytes) -> Certificate:
        """Parse a client certificate in PEM, once.

        Raises CallerCertificateRefused without a principal, or outside its validity: a connection may outlive it.
        """
        certificate = self._read(pem)
        if not certificate.begins <= time.time() < certificate.principal.expires:
            raise CallerCertificateRefused("its certificate has expired, or is not good yet")
        return certificate


def read_certificate(pem: bytes) -> Certificate:
    """Parse a certificate in PEM, valid now or not.

    Raises CallerCertificateRefused if it is malformed or names no principal.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        name = certificate_name(
            names.get_values_for_type(x509.UniformResourceIdentifier), names.get_values_for_type(x509.DNSName)
        )
    except x509.ExtensionNotFound:
        raise CallerCertificateRefused(
            "its certificate has no subject alternative name; the common name is not read"
        ) from None
    except (ValueError, *_NO_VALUE_ERRORS) as error:
        raise CallerCertificateRefused(
            str(error) if str(error).startswith("its ") else "its certificate is malformed"
        ) from None
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(SHA256())).rstrip(b"=").decode()
    principal = Principal(name, is_bound=True, expires=certificate.not_valid_after_utc.timestamp())
    return Certificate(principal, thumbprint, certificate.not_valid_before_utc.timestamp())
