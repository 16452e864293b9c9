"""Documents of sellers, kept in a folder by their SHA-256. No page shows them."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 5 << 20
MAX_DOCUMENTS = 20
"""Of one seller."""
_BEGINNINGS = {b"%PDF-": "pdf", b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}


@dataclass(frozen=True)
class EvidenceFolder:
    folder: Path

    def keep(self, marketplace: str, seller: str, content: bytes) -> str:
        """Keep a PDF, PNG or JPEG; return its SHA-256 in hex. A repeat changes nothing.

        Raises ValueError with the key of a text: `file_missing`, `file_wrong` or `file_many`.
        """
        if not content:
            raise ValueError("file_missing")
        kind = next((kind for begin, kind in _BEGINNINGS.items() if content.startswith(begin)), None)
        if kind is None or len(content) > MAX_BYTES:
            raise ValueError("file_wrong")
        digest = hashlib.sha256(content).hexdigest()
        # Ids may be `.` or `..`, and file systems may ignore case.
        owner = hashlib.sha256(f"{marketplace}/{seller}".encode()).hexdigest()[:32]
        folder = self.folder / owner
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder / f"{digest}.{kind}"
        if target.exists():
            return digest
        if sum(1 for _ in folder.iterdir()) >= MAX_DOCUMENTS:
            raise ValueError("file_many")
        staging = folder / f".{digest}.{os.getpid()}"
        staging.touch(mode=0o600)
        staging.write_bytes(content)
        staging.replace(target)
        return digest
