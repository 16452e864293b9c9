import hashlib
from typing import NamedTuple
from urllib.parse import unquote

import fsspec

from service.web.frame.visits import Problem

MAX_BYTES = 10 << 20
_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""A stranger's file runs nothing."""


class File(NamedTuple):
    body: bytes
    media_type: str


def read_evidence(root: str, uri: str, sha256: str) -> File:
    """Return evidence below `root`. Raises Problem if it lies elsewhere, is missing, too long, or differs from its
    digest.
    """
    base = root.rstrip("/") + "/"
    if not root or not uri.startswith(base) or ".." in unquote(uri[len(base) :]).split("/"):
        raise Problem(
            404, "This evidence lies elsewhere", f"The desk shows evidence from one place only. It is at {uri}."
        )
    try:
        with fsspec.open(uri, "rb") as file:
            body = file.read(MAX_BYTES + 1)
    except Exception:  # noqa: BLE001 whatever a store raises
        raise Problem(
            404, "This evidence cannot be read", "It may be deleted. Ask whoever keeps the evidence."
        ) from None
    if len(body) > MAX_BYTES:
        raise Problem(413, "This evidence is too long", f"The desk shows files of up to {MAX_BYTES >> 20} MB.")
    if hashlib.sha256(body).hexdigest() != sha256.lower():
        text = "Its SHA-256 is not the recorded one. Do not decide by it; tell the operator."
        raise Problem(409, "This evidence was changed", text)
    return File(body, _kind(body))


def _kind(body: bytes) -> str:
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    if body.lstrip()[:4] == b"<svg":
        return "image/svg+xml"
    return next((kind for mark, kind in _KINDS.items() if body.startswith(mark)), "application/octet-stream")
