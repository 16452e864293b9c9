"""Sealing: a key of the seller encrypts personal data (AES-256-GCM); erasing the key erases the texts.

The entry's id is bound to the text. The idempotency digest is keyed: otherwise it would confirm a guessed text.
"""

import base64
import hmac
import os
import re
import secrets
from collections.abc import Collection, Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, bindparam, insert, select

from service.ledger.database.expressions import Texts, among
from service.ledger.database.rows import PLACE, Row
from service.ledger.database.tables import SELLER_KEY

KEY_BYTES = 32
NONCE_BYTES = 12
Key = tuple[str, bytes]
_SEALED = re.compile(r',"sealed":"([0-9a-f]+)\.([^"]*)"\}$')
_KEYS = select(SELLER_KEY.c.seller, SELLER_KEY.c.key_id, SELLER_KEY.c.key).where(
    SELLER_KEY.c.marketplace == bindparam("marketplace"),
    among(SELLER_KEY.c.seller, bindparam("sellers", type_=Texts())),
)


def keys(connection: Connection, marketplace: str, sellers: Collection[str]) -> dict[str, Key]:
    if not sellers:
        return {}
    rows = connection.execute(_KEYS, {"marketplace": marketplace, "sellers": list(sellers)})
    return {seller: (key_id, bytes(key)) for seller, key_id, key in rows}


def seal_texts(connection: Connection, marketplace: str, rows: Sequence[Row], sealed: Mapping[int, str]) -> None:
    """Encrypt texts in the content of their rows, in place; insert missing keys.

    `sealed`: canonical JSON by the row's index.
    """
    if not sealed:
        return
    known = keys_made(connection, marketplace, {rows[place][PLACE["seller"]] for place in sealed})
    for place, text in sealed.items():
        row = rows[place]
        key = known[row[PLACE["seller"]]]
        nonce = os.urandom(NONCE_BYTES)
        hidden = nonce + AESGCM(key[1]).encrypt(nonce, text.encode(), row[PLACE["entry_id"]].encode())
        stated = f"{key[0]}.{base64.b64encode(hidden).decode()}"
        row[PLACE["content"]] = f'{row[PLACE["content"]][:-1]},"sealed":"{stated}"}}'
        row[PLACE["digest"]] = keyed_digest(key[1], row[PLACE["digest"]])


def keys_made(connection: Connection, marketplace: str, sellers: Collection[str]) -> dict[str, Key]:
    known = keys(connection, marketplace, sellers)
    fresh = {seller: (secrets.token_hex(8), os.urandom(KEY_BYTES)) for seller in sorted({*sellers} - set(known))}
    if fresh:
        made = [
            {"key_id": key_id, "marketplace": marketplace, "seller": seller, "key": key}
            for seller, (key_id, key) in fresh.items()
        ]
        connection.execute(insert(SELLER_KEY), made)
    return known | fresh


def keyed_digest(key: bytes, digest: bytes) -> bytes:
    return hmac.digest(key, digest, "sha256")


def key_id_of(content: str) -> str:
    """Return the id of the key that seals the content's text; "" without one."""
    found = _SEALED.search(content)
    return found[1] if found else ""


def plain_of(content: str) -> str:
    return _SEALED.sub("}", content)


def unseal(entry_id: str, content: str, key: Key | None) -> tuple[str, bool]:
    """Return (the sealed text as canonical JSON, whether it was erased).

    ("", False) if nothing was sealed; ("", True) if `key` does not open it.
    """
    found = _SEALED.search(content)
    if found is None:
        return "", False
    if key is None or key[0] != found[1]:
        return "", True
    try:
        data = base64.b64decode(found[2])
        return AESGCM(key[1]).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], entry_id.encode()).decode(), False
    except (InvalidTag, ValueError):
        return "", True
