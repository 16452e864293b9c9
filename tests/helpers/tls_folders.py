"""Folders of TLS files for a server and a caller, from a test's single files."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

_FOLDERS = TemporaryDirectory(prefix="tls")
FILES = {
    "tls": {"tls_certificate": "tls.crt", "tls_key": "tls.key", "tls_client_ca": "client-ca.crt"},
    "target_credentials": {
        "target_ca": "ca.crt",
        "target_certificate": "tls.crt",
        "target_key": "tls.key",
        "target_token": "token",
    },
}


def with_folders(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with `tls_key=FILE` and the like gathered in folders, which follow a replaced file."""
    found = dict(settings)
    for setting, names in FILES.items():
        given = {file: found.pop(name) for name, file in names.items() if name in found}
        if given:
            folder = Path(mkdtemp(dir=_FOLDERS.name))
            for file, path in given.items():
                (folder / file).symlink_to(path)
            found[setting] = folder
    return found
