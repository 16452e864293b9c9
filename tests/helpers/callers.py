import base64
import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Shown:
    tls: Path
    certificate: Path
    key: Path

    def options(self) -> dict[str, Any]:
        return {"tls": self.tls, "certificate": self.certificate, "key": self.key}

    @property
    def thumbprint(self) -> str:
        found = x509.load_pem_x509_certificate(self.certificate.read_bytes()).fingerprint(hashes.SHA256())
        return base64.urlsafe_b64encode(found).rstrip(b"=").decode()


class Authority:
    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._count = 0
        self.ca = folder / f"{name}.pem"
        signed = self._sign(self._name, self._key.public_key(), [], x509.BasicConstraints(ca=True, path_length=0))
        self.ca.write_bytes(signed)

    def certificate(
        self,
        uris: Iterable[str] = (),
        dns: Iterable[str] = (),
        *,
        addresses: Iterable[str] = (),
        days: tuple[float, float] = (-1, 30),
        common_name: str = "customs.example",
        emails: Iterable[str] = (),
        more: Iterable[x509.NameAttribute[str]] = (),
    ) -> Shown:
        self._count += 1
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(name) for name in dns]
        names += [x509.RFC822Name(email) for email in emails]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name), *more])
        stem = self._folder / f"{self.ca.stem}-{self._count}"
        chain, secret = stem.with_suffix(".pem"), stem.with_suffix(".key")
        chain.write_bytes(
            self._sign(subject, key.public_key(), names, x509.BasicConstraints(ca=False, path_length=None), days)
        )
        secret.write_bytes(_pem_of(key))
        return Shown(self.ca, chain, secret)

    def server_settings(self) -> dict[str, Path]:
        shown = self.certificate(dns=["localhost"], addresses=["127.0.0.1"])
        return {"tls_certificate": shown.certificate, "tls_key": shown.key, "tls_client_ca": self.ca}

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        names: Sequence[x509.GeneralName],
        constraints: x509.BasicConstraints,
        days: tuple[float, float] = (-1, 3650),
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(constraints, critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _pem_of(key: Any) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


@dataclass
class TokenIssuer:
    folder: Path
    issuer: str = "https://login.example"
    audience: str = "sellertrust"
    keys: dict[str, Any] = field(default_factory=lambda: {"k1": ec.generate_private_key(ec.SECP256R1())})

    def __post_init__(self) -> None:
        self.publish()

    @property
    def path(self) -> Path:
        return self.folder / "keys.json"

    def publish(self, *names: str) -> None:
        listed = [public_jwk(name, key) for name, key in self.keys.items() if not names or name in names]
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps({"keys": listed}))
        beside.replace(self.path)

    def table(self, marketplaces: Sequence[str] = ("acme",)) -> str:
        return (
            f'[[issuers]]\nissuer = "{self.issuer}"\naudience = "{self.audience}"\nkeys = "{self.path}"\n'
            f'algorithms = ["ES256"]\nmarketplaces = {json.dumps([*marketplaces])}\n'
        )

    def token(
        self,
        subject: object = "user-17",
        *,
        key: str = "k1",
        headers: dict[str, Any] | None = None,
        algorithm: str = "ES256",
        seconds: float = 600,
        **claims: Any,
    ) -> str:
        now = int(time())
        stated = {"iss": self.issuer, "aud": self.audience, "sub": subject, "iat": now, "exp": now + seconds} | claims
        stated = {name: value for name, value in stated.items() if value is not None}
        return jwt.encode(stated, self.keys[key], algorithm=algorithm, headers={"kid": key} | (headers or {}))

    def token_file(self, *arguments: Any, **claims: Any) -> Path:
        path = self.folder / f"{len([*self.folder.iterdir()])}.token"
        path.write_text(self.token(*arguments, **claims) + "\n")
        return path


def public_jwk(name: str, key: Any) -> dict[str, Any]:
    make: dict[str, Any] = {"EC": jwt.algorithms.ECAlgorithm, "RS": jwt.algorithms.RSAAlgorithm}
    kind = "EC" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS"
    stated = json.loads(make[kind].to_jwk(key.public_key()))
    return {name: value for name, value in stated.items() if name != "key_ops"} | {"kid": name, "use": "sig"}


def grant(principal: str, rights: Sequence[str], **limits: Sequence[str]) -> str:
    lines = {"principals": [principal], "rights": [*rights], "marketplaces": ["acme"], **limits}
    return "[[grants]]\n" + "".join(f"{name} = {json.dumps([*value])}\n" for name, value in lines.items())


def write_grants(path: Path, *tables: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text("".join(tables) + "\n[end]\n")
    beside.replace(path)
