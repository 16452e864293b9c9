"""The manifest of a run: one line a task.

A run is a folder of these files:

- `manifest.jsonl`: the head with the digest of everything, then one line for each task.
- `model/...` and `policy.toml`: the tasks score with them.
- `scores/bucket=0007/....parquet`: the parts. Each attempt writes a file of its own.
- `receipts/000007.json`: it names the attempt whose file counts. It is made only if none exists.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter

from scoring.base.canonical import canonical_json, parse_json
from scoring.base.errors import ConfigurationWrong, invalid
from scoring.base.frozen import frozen
from service.scale.layout import HASH, EntryFile
from service.scores.book.generation_file import GenerationHead

if TYPE_CHECKING:  # a task exports nothing
    from service.scale.export import ExportResult

FORMAT, VERSION = "sellertrust-run", 2
SERVED, POLICIES, MODELS = "served.json", "policies", "models"
"""Models and policies before the moves whose notice runs."""

MANIFEST, MODEL, POLICY, SCORES, RECEIPTS = "manifest.jsonl", "model", "policy.toml", "scores", "receipts"

BYTES_PER_ROW, BASE_BYTES = 600, 400 << 20
"""Memory of a task, by `./dev bench scale`."""


class EarlierRun(NamedTuple):
    """A finished run with the same model, policy and release, whose answers roll over."""

    place: str
    day: int
    observe_time: int
    sequence: int


@frozen
class Task:
    line: int
    bucket: int
    rows: int
    sellers: int
    """At least: a bucket of several files may have more."""
    files: tuple[EntryFile, ...]
    earlier: tuple[str, str] | None = None
    """The part of the bucket in the earlier run, and its SHA-256."""

    @property
    def receipt_path(self) -> str:
        return f"{RECEIPTS}/{self.line:06d}.json"


@frozen
class RunManifest:
    marketplace: str
    entries: str
    """The exported folder or its URL."""
    buckets: int
    memory_bytes: int
    mended: int
    """Mendings of the clock that the entries reflect."""
    earlier: EarlierRun | None
    head: GenerationHead
    tasks: Sequence[Task]

    @property
    def rows(self) -> int:
        return sum(task.rows for task in self.tasks)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of all but itself, in hexadecimal."""
        return sha256(self._state_head() + b"\n".join(_encode_task(task) for task in self.tasks)).hexdigest()

    def encode(self) -> bytes:
        """Return JSON lines: the head with the digest, then each task."""
        head = {**json.loads(self._state_head()), "digest": self.digest}
        return b"".join(line + b"\n" for line in (canonical_json(head), *map(_encode_task, self.tasks)))

    def _state_head(self) -> bytes:
        names = ("marketplace", "entries", "buckets", "memory_bytes", "mended", "earlier")
        stated = {name: getattr(self, name) for name in names} | self.head._asdict()
        fixed = {"format": FORMAT, "version": VERSION, "hash": HASH}
        return canonical_json({**fixed, **stated, "rows": self.rows, "tasks": len(self.tasks)})

    def task(self, line: int) -> Task:
        """Return a task by its line, from 1 on. Raises InvalidInput."""
        if not 1 <= line <= len(self.tasks):
            raise invalid("LINE", f"must be 1 to {len(self.tasks)}")
        return self.tasks[line - 1]


_READER = TypeAdapter(RunManifest)


def make_manifest(
    exported: "ExportResult",
    entries: str,
    head: GenerationHead,
    earlier: EarlierRun | None = None,
    parts: Mapping[int, tuple[str, str]] = MappingProxyType({}),
) -> RunManifest:
    """Plan a task for each bucket that has files. `parts`: of the earlier run, by bucket, with their SHA-256."""
    of_bucket: dict[int, list[EntryFile]] = {}
    for file in exported.files:
        of_bucket.setdefault(file.bucket, []).append(file)
    tasks = [
        Task(
            line=line,
            bucket=bucket,
            rows=sum(file.rows for file in files),
            sellers=max(file.sellers for file in files),
            files=tuple(files),
            earlier=parts.get(bucket),
        )
        for line, (bucket, files) in enumerate(sorted(of_bucket.items()), 1)
    ]
    most = max((task.rows for task in tasks), default=0)
    memory = BASE_BYTES + BYTES_PER_ROW * most
    return RunManifest(
        marketplace=exported.marketplace,
        entries=entries,
        buckets=exported.buckets,
        memory_bytes=memory,
        mended=exported.mended,
        earlier=earlier,
        head=head,
        tasks=tasks,
    )


def read_manifest(data: bytes, place: str) -> RunManifest:
    """Parse a manifest. Raises ConfigurationWrong if it is altered, or names a file or bucket twice."""
    name = f"{place}/{MANIFEST}"
    try:
        first, *lines = data.splitlines()
        stated: dict[str, Any] = parse_json(first)
        if (stated["format"], stated["version"], stated["hash"]) != (FORMAT, VERSION, HASH):
            raise ConfigurationWrong(f"{name} is of another version; plan the run again: sellertrust rescore --plan")
        head = {name: stated[name] for name in GenerationHead._fields}
        manifest = _READER.validate_python({**stated, "head": head, "tasks": [*map(parse_json, lines)]})
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationWrong(f"{name} cannot be read ({type(error).__name__}); plan the run again") from None
    files = [file.path for task in manifest.tasks for file in task.files]
    buckets = [task.bucket for task in manifest.tasks]
    if len(set(files)) < len(files) or len(set(buckets)) < len(buckets):
        raise ConfigurationWrong(f"{name} names a file or a bucket twice; plan the run again")
    if manifest.digest != stated["digest"] or [task.line for task in manifest.tasks] != [*range(1, len(lines) + 1)]:
        raise ConfigurationWrong(f"{name} was altered: its digest is another; plan the run again")
    return manifest


def _encode_task(task: Task) -> bytes:
    return canonical_json({**asdict(task), "files": [file._asdict() for file in task.files]})
