import hashlib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from scoring.base.errors import invalid
from service.web.frame.visits import Problem

MAX_BYTES = 10 << 20
_MEDIA_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""A stranger's file runs nothing."""


class File(NamedTuple):
    body: bytes
    media_type: str


def require_place(root: str) -> str:
    """Return `root`. Raises InvalidInput unless it is a folder of this machine, or a URL of a known store."""
    try:
        files, path = url_to_fs(root)
    except (ValueError, ImportError) as error:
        raise invalid("--evidence", f"{root} cannot be used: {error}; give a folder or a URL") from None
    if isinstance(files, LocalFileSystem) and not files.isdir(path):
        raise invalid("--evidence", f"there is no folder {root}; make it, or give another")
    return root


def read_evidence(root: str, uri: str, sha256: str) -> File:
    """Return evidence below `root`. Raises Problem for none, one elsewhere, too long or changed."""
    if not uri or not sha256:
        text = "The report names none, or none with a digest. Choose what else you found."
        raise Problem(404, "There is no evidence to show", text)
    base = root.rstrip("/") + "/"
    elsewhere = Problem(
        404, "This evidence lies elsewhere", f"The desk shows evidence from one place only. It is at {uri}."
    )
    if not root or not uri.startswith(base) or ".." in unquote(uri[len(base) :]).split("/"):
        raise elsewhere
    try:
        files, path = url_to_fs(uri)
        if isinstance(files, LocalFileSystem):
            target = Path(path).resolve(strict=True)
            if not target.is_relative_to(Path(url_to_fs(root)[1]).resolve()):
                raise elsewhere
            path = str(target)
        if not files.isfile(path):  # a pipe would never end
            raise FileNotFoundError(path)
        with files.open(path, "rb") as file:
            body = file.read(MAX_BYTES + 1)
    except Problem:
        raise
    except Exception:  # noqa: BLE001 whatever a store raises
        raise Problem(
            404, "This evidence cannot be read", "It may be deleted. Ask whoever keeps the evidence."
        ) from None
    if len(body) > MAX_BYTES:
        raise Problem(413, "This evidence is too long", f"The desk shows files of up to {MAX_BYTES >> 20} MB.")
    if hashlib.sha256(body).hexdigest() != sha256.lower():
        text = "Its SHA-256 is not the recorded one. Do not decide by it; tell the operator."
        raise Problem(409, "This evidence was changed", text)
    return File(body, _detect_media_type(body))


def _detect_media_type(body: bytes) -> str:
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    if body.lstrip()[:4] == b"<svg":
        return "image/svg+xml"
    return next((kind for mark, kind in _MEDIA_TYPES.items() if body.startswith(mark)), "application/octet-stream")
