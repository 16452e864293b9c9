from pathlib import Path

from scoring.base.canonical import JsonObject, canonical_json, parse_json
from scoring.base.errors import CertificateRefused
from scoring.loss_certificate.assumptions import Assumptions, parse_assumptions
from service.files import write_whole
from service.policy.policy_file import read_toml

SHIPPED_ASSUMPTIONS = Path(__file__).with_name("assumptions.toml")
"""An example, to be copied."""

MAX_BYTES = 500_000_000


def read_assumptions(path: Path) -> Assumptions:
    """Read and check a file of assumptions.

    Raises PolicyRefused if it is no TOML, CertificateRefused with every fault.
    """
    data = read_toml(path)
    try:
        return parse_assumptions(data)
    except CertificateRefused as error:
        raise CertificateRefused(f"{path}: {error}") from None


def read_assumptions_text(path: Path) -> str:
    """Return the TOML text of valid assumptions; raises as `read_assumptions`."""
    read_assumptions(path)
    return path.read_text(encoding="utf-8")


def read_certificate(path: Path) -> JsonObject:
    """Read a certificate and check only its form. Raises CertificateRefused."""
    if path.stat().st_size > MAX_BYTES:
        raise CertificateRefused(f"{path} has more than {MAX_BYTES:,} bytes: it is no certificate")
    try:
        data = parse_json(path.read_bytes())
    except (ValueError, RecursionError):
        raise CertificateRefused(f"{path} is no JSON: it is no certificate, or was cut short") from None
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("assumptions"), dict)
        or "digest" not in data.get("policy", ())
    ):
        raise CertificateRefused(
            f"{path} holds no JSON object with assumptions and a policy's digest: it is no certificate"
        )
    return data


def write_certificate(certificate: JsonObject, path: Path) -> None:
    """Replace the file by the certificate as canonical JSON, whole or not at all."""
    write_whole(path, canonical_json(certificate) + b"\n")
