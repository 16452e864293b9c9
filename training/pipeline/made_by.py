"""What makes a model beside study and data: the code and the libraries. What is kept of other ones is of no use."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import scoring

LIBRARIES = ("lightgbm", "numpy", "polars", "scipy")
"""Libraries on whose version a model depends."""
PACKAGES = (Path(scoring.__file__).parent, Path(__file__).parents[1])
"""The folders of the code: what observes and scores, and what trains."""


def code_versions(packages: Sequence[Path] = PACKAGES) -> dict[str, str]:
    """Return the versions of the libraries by name, and under `code` a SHA-256 of our own code.

    That of all Python files of `packages`, with their names.
    """
    code = sha256()
    for package in packages:
        for file in sorted(package.rglob("*.py")):
            data = file.read_bytes()
            code.update(f"{file.relative_to(package).as_posix()} {len(data)}\n".encode())
            code.update(data)
    return {name: version(name) for name in LIBRARIES} | {"code": code.hexdigest()}
