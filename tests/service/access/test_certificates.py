import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.access.certificates import CallerCertificateRefused, read_certificate

DAY = datetime.timedelta(days=1)
NAMES = b"\x06\x03\x55\x1d\x11"
"""The object identifier of subject alternative names, in DER."""
ISSUER_NAMES = b"\x06\x03\x55\x1d\x12"
VERSION_3 = b"\xa0\x03\x02\x01\x02"


def der() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "staff.example")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - DAY, now + DAY)
    names = [x509.DNSName("staff.example")]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.IssuerAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def pem(data: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(data).encode()


def test_a_certificate_names_who_it_is() -> None:
    assert read_certificate(pem(der())).principal.name == "dns:staff.example"


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        pytest.param(ISSUER_NAMES, NAMES, id="an extension twice"),
        pytest.param(VERSION_3, VERSION_3[:-1] + b"\x07", id="a version that there is not"),
        pytest.param(NAMES, b"\x04\x03\x55\x1d\x11", id="no DER"),
    ],
)
def test_a_malformed_certificate_names_nobody(there: bytes, instead: bytes) -> None:
    data = der()
    assert there in data
    with pytest.raises(CallerCertificateRefused, match="its certificate is malformed"):
        read_certificate(pem(data.replace(there, instead)))
