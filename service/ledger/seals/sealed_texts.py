"""Sealing: a key of the seller encrypts personal data (AES-256-GCM); erasing the key erases the texts.

The entry's id is bound to the text. The idempotency digest is keyed: otherwise it would confirm a guessed text.
"""

import base64
import hmac
import os
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import bindparam, insert, select

from service.ledger.database.rows import PLACE, Row
from service.ledger.database.tables import SELLER_KEY, RowReader, among

KEY_BYTES = 32
NONCE_BYTES = 12
_SEALED = re.compile(r',"sealed":"([0-9a-f]+)\.([^"]*)"\}$')
_KEYS = select(SELLER_KEY.c.seller, SELLER_KEY.c.key_id, SELLER_KEY.c.key).where(
    SELLER_KEY.c.marketplace == bindparam("marketplace"), among(SELLER_KEY.c.seller)
)


class SellerKey(NamedTuple):
    key_id: str
    secret: bytes


def read_keys(reader: RowReader, sellers: Collection[str]) -> dict[str, SellerKey]:
    return {seller: SellerKey(key_id, bytes(secret)) for seller, key_id, secret in reader.rows(_KEYS, sellers)}


def read_or_make_keys(reader: RowReader, sellers: Collection[str]) -> dict[str, SellerKey]:
    """Return each seller's key; insert a new one where it is missing."""
    recorded = read_keys(reader, sellers)
    missing = sorted({*sellers} - recorded.keys())
    new = {seller: SellerKey(secrets.token_hex(8), os.urandom(KEY_BYTES)) for seller in missing}
    if new:
        rows = [
            {"key_id": key.key_id, "marketplace": reader.marketplace, "seller": seller, "key": key.secret}
            for seller, key in new.items()
        ]
        reader.connection.execute(insert(SELLER_KEY), rows)
    return recorded | new


def seal_texts(reader: RowReader, rows: Sequence[Row], texts: Mapping[int, str]) -> None:
    """Encrypt texts in the content of their rows, and key the digests, in place; insert missing keys through `reader`.

    `texts`: canonical JSON by the row's index.
    """
    keys = read_or_make_keys(reader, {rows[index][PLACE["seller"]] for index in texts})
    for index, text in texts.items():
        row = rows[index]
        key = keys[row[PLACE["seller"]]]
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = nonce + AESGCM(key.secret).encrypt(nonce, text.encode(), row[PLACE["entry_id"]].encode())
        sealed = f"{key.key_id}.{base64.b64encode(ciphertext).decode()}"
        row[PLACE["content"]] = f'{row[PLACE["content"]][:-1]},"sealed":"{sealed}"}}'
        row[PLACE["digest"]] = keyed_digest(key, row[PLACE["digest"]])


def keyed_digest(key: SellerKey, digest: bytes) -> bytes:
    """Return HMAC-SHA-256 under the seller's key, so that the digest reveals nothing once the key is erased."""
    return hmac.digest(key.secret, digest, "sha256")


def key_id_of(content: str) -> str:
    """Return the id of the key that seals the content's text; "" without one."""
    match = _SEALED.search(content)
    return match[1] if match else ""


def remove_sealed(content: str) -> str:
    """Return an entry's JSON without its sealed texts, which are its last member."""
    return _SEALED.sub("}", content)


def unseal(entry_id: str, content: str, key: SellerKey | None) -> tuple[str, bool]:
    """Return (the sealed text as canonical JSON, whether it was erased).

    ("", False) if nothing was sealed; ("", True) if `key` does not open it.
    """
    match = _SEALED.search(content)
    if match is None:
        return "", False
    if key is None or key.key_id != match[1]:
        return "", True
    try:
        data = base64.b64decode(match[2])
        return AESGCM(key.secret).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], entry_id.encode()).decode(), False
    except (InvalidTag, ValueError):
        return "", True
