"""The throwaway process tries a model once a run of the tests, however many registries it is published to.

Its verdict on the same bytes is kept in a folder that the processes of a run share; the first time it is the real process.
Tests that are about the process itself use `real`, which keeps nothing.
"""

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from service.registry import intake
from tests.shared import VARIABLE

real = intake.try_out
_FOLDER = os.environ.get(VARIABLE, "")  # a forked command has an environment of its own


def _tried(parts: Mapping[str, bytes], **limits: float) -> str:
    """The digest of a model that the process has loaded, now or before. ArtifactRefused is never kept."""
    if limits:
        return real(parts, **limits)  # type: ignore[arg-type]
    kept = Path(os.environ.get(VARIABLE, _FOLDER)) / f"tried-{sha256(intake._packed(parts)).hexdigest()}"
    if kept.exists():
        return kept.read_text()
    digest = real(parts)
    staging = kept.with_name(f"{kept.name}.{os.getpid()}")
    staging.write_text(digest)
    staging.replace(kept)
    return digest


def share() -> None:
    """Has this process, and those forked from it, share verdicts."""
    intake.try_out = _tried


if VARIABLE in os.environ:  # in the process that commands are forked from
    share()
