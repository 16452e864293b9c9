r"""Signed checkpoints: the ledger's last chain value, exported out of the database owner's reach.

A file holds one JSON object a line: sequence, chain, time, public key, and an Ed25519 signature over

    "sellertrust checkpoint 1\n{sequence}\n{chain in hex}\n{time}\n"
"""

import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from scoring.base.canonical import JsonObject, parse_json
from scoring.base.errors import ConfigurationWrong, SellertrustError, invalid


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 signing key in a PEM file, made if absent.

    Raises ConfigurationWrong if the file cannot be read or holds another kind of key.
    """
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key
    try:
        loaded = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationWrong(f"{path} is not a readable Ed25519 key ({type(error).__name__})") from None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise ConfigurationWrong(f"{path} holds another kind of key than Ed25519")
    return loaded


def write_checkpoint(path: Path, key: Ed25519PrivateKey, sequence: int, chain: bytes, time: str) -> JsonObject:
    """Append a signed checkpoint to a file, and sync it; `time` is RFC 3339.

    Raises SellertrustError if no single key would verify the file.
    """
    checkpoint = {
        "sequence": sequence,
        "chain": chain.hex(),
        "time": time,
        "public_key": key.public_key().public_bytes_raw().hex(),
        "signature": key.sign(_message(sequence, chain.hex(), time)).hex(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _require_signer(path, checkpoint["public_key"])
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(checkpoint) + "\n")
        out.flush()
        os.fsync(out.fileno())
    return checkpoint


def _require_signer(path: Path, public_key: object) -> None:
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True) if path.exists() else [], 1):
        try:
            signer = parse_json(line)["public_key"] if line.endswith(b"\n") else None
        except (ValueError, KeyError, TypeError):
            signer = None
        if signer is None:
            raise SellertrustError(f"line {number} of {path} is damaged or incomplete; delete it, or name a new file")
        if signer != public_key:
            raise SellertrustError(
                f"the key {signer} signed line {number} of {path}, and checkpoint-key.pem is another; restore that key,"
                " or name a new file"
            )


def read_checkpoints(path: Path, public_key: str) -> list[tuple[int, bytes]]:
    """Return a file's verified checkpoints, as (sequence, chain).

    Raises InvalidInput if the file is missing or `public_key` is not 64 hexadecimal digits; SellertrustError if a line
    is damaged or not signed by it.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    except ValueError:
        raise invalid("--public-key", "must be 64 hexadecimal digits, as a checkpoint shows it") from None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise invalid("FILE", f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationWrong(f"the checkpoints {path} cannot be read") from None
    checkpoints = []
    for number, line in enumerate(lines, 1):
        try:
            checkpoint = parse_json(line)
            message = _message(checkpoint["sequence"], checkpoint["chain"], checkpoint["time"])
            key.verify(bytes.fromhex(checkpoint["signature"]), message)
            checkpoints.append((int(checkpoint["sequence"]), bytes.fromhex(checkpoint["chain"])))
        except (ValueError, KeyError, TypeError, InvalidSignature):
            raise SellertrustError(f"line {number} of {path} is damaged or was not signed by this key") from None
    return checkpoints


def _message(sequence: int, chain: str, time: str) -> bytes:
    return f"sellertrust checkpoint 1\n{sequence}\n{chain}\n{time}\n".encode()
