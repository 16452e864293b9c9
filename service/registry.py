"""The model registry: a folder of immutable artifacts by digest, and an append-only log of who is champion.

    registry/models/{digest}/manifest.json, model.txt, ...
    registry/aliases.jsonl      one line a move: alias, digest, who, why, when

An artifact is written beside its place and renamed into it, so no reader ever sees half of one.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scoring.artifact import MANIFEST, PARTS, Artifact, load
from scoring.errors import ArtifactRefused, ConfigurationWrong
from scoring.time import format_time

CHAMPION = "champion"
CHALLENGER = "challenger"
MAX_PART_BYTES = 256 << 20


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

        Publishing the same content again changes nothing but the alias log.
        """
        digest = load(parts).digest
        place = self._models / digest
        if not place.is_dir():
            self._models.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=self._models))
            for name, data in parts.items():
                (staging / name).write_bytes(data)
            staging.chmod(0o755)
            staging.replace(place)
        alias = CHAMPION if self.champion() in (None, digest) else CHALLENGER
        self._move(Move(alias, digest, actor, reason, format_time(now)))
        return digest

    def promote(self, digest: str, *, actor: str, reason: str, now: int) -> str:
        """Makes a published model champion after verifying it again; its whole digest."""
        whole = self.resolve(digest)
        self.load(whole)
        self._move(Move(CHAMPION, whole, actor, reason, format_time(now)))
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
        for number, line in enumerate(self._log.read_text().splitlines(), 1):
            try:
                moves.append(Move(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise ConfigurationWrong(
                    f"{self._log} is damaged in line {number}; repair or remove that line"
                ) from error
        return moves

    def digests(self) -> Iterator[str]:
        """Digests of all published models, in order."""
        if self._models.is_dir():
            yield from sorted(p.name for p in self._models.iterdir() if not p.name.startswith("."))

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
        """A published model, verified whole. ArtifactRefused says what does not match."""
        artifact = load(self.read(digest))
        if artifact.digest != digest:
            raise ArtifactRefused(
                f"the content of model {digest[:12]} is that of another digest, {artifact.digest[:12]}"
            )
        return artifact

    def _move(self, move: Move) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(move), ensure_ascii=False) + "\n"
        with self._log.open("a", encoding="utf-8") as log:
            log.write(line)
            log.flush()
            os.fsync(log.fileno())
