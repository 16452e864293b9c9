"""The model registry: a folder of immutable artifacts by digest, and an append-only log of who is champion.

    registry/models/{digest}/manifest.json, model.txt, ...
    registry/aliases.jsonl      one line a move: alias, digest, who, why, when

An artifact is written beside its place and renamed into it, so no reader ever sees half of one.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from scoring.artifact import MANIFEST, PARTS, Artifact, load
from scoring.errors import ArtifactRefused, ConfigurationWrong
from scoring.time import format_time

CHAMPION = "champion"
CHALLENGER = "challenger"
MAX_PART_BYTES = 256 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Move:
    """One line of the alias log. `time` is RFC 3339."""

    alias: str
    digest: str
    actor: str
    reason: str
    time: str


class Registry:
    """The registry in one folder. Digests may be given by any unique beginning of at least 6 characters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._models = folder / "models"
        self._log = folder / "aliases.jsonl"

    def publish(self, parts: Mapping[str, bytes], *, actor: str, reason: str, now: int) -> str:
        """Verifies and stores an artifact; its digest. The first model ever becomes champion, a later one challenger.

        Publishing the same content again changes nothing but the alias log, and mends what was damaged on disk.
        """
        digest = load(parts).digest
        known = {name: parts[name] for name in (MANIFEST, *PARTS)}
        with self._writing() as log:
            if self.read(digest) != known:
                self._store(digest, known)
            alias = CHAMPION if self.champion() in (None, digest) else CHALLENGER
            _append(log, Move(alias, digest, actor, reason, format_time(now)))
        return digest

    def promote(self, digest: str, *, actor: str, reason: str, now: int) -> str:
        """Makes a published model champion after verifying it again; its whole digest."""
        whole = self.resolve(digest)
        self.load(whole)
        with self._writing() as log:
            _append(log, Move(CHAMPION, whole, actor, reason, format_time(now)))
        return whole

    def champion(self) -> str | None:
        """The champion's digest; None if nothing was ever published."""
        moves = [move for move in self.history() if move.alias == CHAMPION]
        return moves[-1].digest if moves else None

    def aliases(self) -> dict[str, str]:
        """Where each alias points now."""
        return {move.alias: move.digest for move in self.history()}

    def history(self) -> list[Move]:
        """Every move of an alias, oldest first."""
        if not self._log.exists():
            return []
        moves = []
        *lines, tail = self._log.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                moves.append(_move_of(line))
            except (ValueError, TypeError, RecursionError) as error:
                raise ConfigurationWrong(
                    f"{self._log} is damaged in line {number}; repair or remove that line"
                ) from error
        # A line without its end was being written when the machine stopped: its move was never acknowledged.
        return moves + ([_move_of(tail)] if _is_move(tail) else [])

    def digests(self) -> Iterator[str]:
        """Digests of all published models, in order."""
        if self._models.is_dir():
            yield from sorted(p.name for p in self._models.iterdir() if _DIGEST.fullmatch(p.name))

    def resolve(self, name: str) -> str:
        """The whole digest for an alias or the beginning of a digest. ConfigurationWrong lists what there is."""
        if name in (aliases := self.aliases()):
            return aliases[name]
        found = [digest for digest in self.digests() if len(name) >= 6 and digest.startswith(name)]
        if len(found) != 1:
            problem = "names several models" if found else "names no model"
            raise ConfigurationWrong(f"{name!r} {problem}; see: sellertrust model list")
        return found[0]

    def read(self, digest: str) -> dict[str, bytes]:
        """The parts of a published model as they lie on disk, unverified."""
        place = self._models / digest
        parts = {}
        for name in (MANIFEST, *PARTS):
            path = place / name
            if path.is_file():
                if path.stat().st_size > MAX_PART_BYTES:
                    raise ArtifactRefused(f"{name} of model {digest[:12]} is larger than {MAX_PART_BYTES >> 20} MB")
                parts[name] = path.read_bytes()
        return parts

    def load(self, digest: str) -> Artifact:
        """A published model, verified whole. ArtifactRefused says which model, what does not match and what to do."""
        try:
            artifact = load(self.read(digest))
        except ArtifactRefused as error:
            raise ArtifactRefused(
                f"model {digest[:12]} in {self._models} is refused: {error.message}; publish it again, or promote"
                " another (see: sellertrust model list)"
            ) from error
        if artifact.digest != digest:
            raise ArtifactRefused(
                f"the content of model {digest[:12]} is that of another digest, {artifact.digest[:12]}"
            )
        return artifact

    def _store(self, digest: str, parts: Mapping[str, bytes]) -> None:
        """Puts an artifact in its place, whole or not at all; what was there, damaged, makes way."""
        self._models.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=self._models))
        place = self._models / digest
        try:
            for name, data in parts.items():
                with (staging / name).open("wb") as part:
                    part.write(data)
                    part.flush()
                    os.fsync(part.fileno())
            staging.chmod(0o755)
            if place.exists():
                place.replace(staging.with_name(f"{staging.name}-damaged"))
            staging.replace(place)
        finally:
            for rest in self._models.glob(f"{staging.name}*"):
                shutil.rmtree(rest, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[BinaryIO]:
        """The log, while no other process or thread writes to the registry."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("a+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            yield log


def _append(log: BinaryIO, move: Move) -> None:
    line = json.dumps(asdict(move), ensure_ascii=False).encode() + b"\n"
    log.seek(0)
    whole, newline, tail = log.read().rpartition(b"\n")
    if _is_move(tail):  # the work of an editor that does not end the last line
        line = b"\n" + line
    elif tail:
        log.truncate(len(whole + newline))
    log.write(line)
    log.flush()
    os.fsync(log.fileno())


def _move_of(line: bytes) -> Move:
    """A line of the log as a move. ValueError or TypeError if it is none: every field a text, the digest a digest."""
    move = Move(**json.loads(line))
    if not all(isinstance(value, str) for value in asdict(move).values()) or not _DIGEST.fullmatch(move.digest):
        raise ValueError("a move has texts, and a digest of 64 hexadecimal digits")
    return move


def _is_move(line: bytes) -> bool:
    try:
        _move_of(line)
    except (ValueError, TypeError, RecursionError):
        return False
    return True
