"""Versions of the code and libraries behind a model; kept results of other versions are useless."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import scoring

LIBRARIES = ("lightgbm", "numpy", "polars", "scipy")
PACKAGES = (Path(scoring.__file__).parent, Path(__file__).parents[1])


def code_versions(packages: Sequence[Path] = PACKAGES) -> dict[str, str]:
    """Return library versions by name, and under `code` the SHA-256 of all Python files of `packages` with their
    names.
    """
    code = sha256()
    for package in packages:
        for file in sorted(package.rglob("*.py")):
            data = file.read_bytes()
            code.update(f"{file.relative_to(package).as_posix()} {len(data)}\n".encode())
            code.update(data)
    return {name: version(name) for name in LIBRARIES} | {"code": code.hexdigest()}
