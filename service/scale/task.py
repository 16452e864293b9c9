"""One task of a run: it scores the sellers of its own files into its own part, and commits that by a receipt."""

import ctypes
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from scoring.base.canonical import canonical_json, parse_json
from scoring.base.errors import (
    ArtifactRefused,
    ConfigurationWrong,
    ModelNotFound,
    PolicyNotFound,
    PolicyRefused,
    SellertrustError,
)
from scoring.features.table import AttributeFeature
from scoring.model.artifact import MANIFEST as MODEL_MANIFEST
from scoring.model.artifact import PARTS, Artifact, load
from scoring.policy.policy import Policy
from scoring.scores.notice import Move
from scoring.scores.score import CoreAnswer
from sellertrust.names import seller_name
from service.contract.scores import score_message
from service.garbage_collection import freeze_loaded_objects
from service.policy.policy_file import parse_policy_text
from service.scale.layout import EntryFile, find_bucket, read_entries
from service.scale.manifest import (
    MANIFEST,
    MODEL,
    MODELS,
    POLICIES,
    POLICY,
    SCORES,
    SERVED,
    RunManifest,
    Task,
    read_manifest,
)
from service.scores.book.code_digests import contract_digest, core_digest
from service.scores.book.generation_file import GenerationHead
from service.scores.champion import Champion
from service.scores.extract import COLUMNS, CONTENT_KINDS, Extract
from service.scores.scorer import Scorer
from service.shared_files import Store

_SELLER_SCHEMA: dict[str, Any] = {
    "seller": pl.String,
    "day": pl.Int64,
    "points": pl.Int64,
    "tier": pl.Int64,
    "valid_until": pl.Int64,
    "answer": pl.Binary,
    "midnights": pl.List(pl.Int64),
}
"""The day since 1970, microseconds UTC, the TrustScore on the wire, and the points at the last midnights, the
latest first.
"""
_MADE_BY: dict[str, Any] = {"model": pl.String, "policy": pl.String, "core": pl.String, "sequence": pl.Int64}
_PART_SCHEMA = pl.Schema({**_SELLER_SCHEMA, **_MADE_BY})


class Receipt(NamedTuple):
    line: int
    manifest: str
    part: str
    sha256: str
    sellers: int
    bytes: int


class _FixedPolicy(NamedTuple):
    """In place of `ServedPolicy`."""

    now: Policy
    changes: Sequence[Move]
    store: Store

    def find(self, digest: str) -> Policy:
        if digest == self.now.digest:
            return self.now
        name = f"{POLICIES}/{digest}.toml"
        if not self.store.exists(name):
            raise PolicyNotFound(digest)
        return _read_policy(self.store, name, digest)


class _FixedChampion(Champion):
    def __init__(self, artifact: Artifact, changes: Sequence[Move], store: Store) -> None:
        super().__init__(artifact=artifact)
        self.changes = changes
        self._store = store

    def find(self, digest: str) -> Artifact | None:
        if not digest or digest == self.digest:
            return self.artifact if digest else None
        if not self._store.exists(f"{MODELS}/{digest}/{MODEL_MANIFEST}"):
            raise ModelNotFound(digest)
        return _read_model(self._store, f"{MODELS}/{digest}", digest)


class OpenRun(NamedTuple):
    """A run with its model, whose golden vectors were checked in this process, and its policy."""

    store: Store
    manifest: RunManifest
    artifact: Artifact
    policy: Policy


def run_task(place: str, line: int) -> Receipt:
    """Compute a line of the run at a folder or URL, unless its receipt exists; return the receipt.

    Raises ConfigurationWrong for a foreign or altered file, manifest, model or release; InvalidInput for the line.
    """
    run = open_run(place)
    task = run.manifest.task(line)
    if run.store.exists(task.receipt_path):
        return read_receipt(run.store, run.manifest, task)
    data, sellers = _score_task(run, task)
    part = f"{SCORES}/bucket={task.bucket:04d}/{uuid.uuid4().hex}.parquet"
    receipt = Receipt(line, run.manifest.digest, part, run.store.write(part, data), sellers, len(data))
    if run.store.create(task.receipt_path, canonical_json(receipt._asdict())):
        return receipt
    run.store.delete(part)
    return read_receipt(run.store, run.manifest, task)


def open_run(place: str) -> OpenRun:
    """Open the run at a folder or URL. Raises ConfigurationWrong if it was altered, or another release planned it."""
    return _open_run(place, Store(place).read(MANIFEST))


def _keep_freed_memory() -> None:
    """Keep a batch's memory for the next: fresh pages take a quarter of the time."""
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD
        library.mallopt(-1, 128 << 20)  # M_TRIM_THRESHOLD


@lru_cache(4)
def _open_run(place: str, data: bytes) -> OpenRun:
    store, manifest = Store(place), read_manifest(data, place)
    if (manifest.head.core, manifest.head.contract) != (core_digest(), contract_digest()):
        raise ConfigurationWrong(f"{place} was planned by another release; install that one here, or plan it again")
    artifact = _read_model(store, MODEL, manifest.head.model)
    run = OpenRun(store, manifest, artifact, _read_policy(store, POLICY, manifest.head.policy))
    _keep_freed_memory()
    freeze_loaded_objects()
    return run


def _read_model(store: Store, folder: str, digest: str) -> Artifact:
    with suppress(ArtifactRefused):
        artifact = load({name: store.read(f"{folder}/{name}") for name in (MODEL_MANIFEST, *PARTS)})
        if artifact.digest == digest:
            return artifact
    raise ConfigurationWrong(f"{store.place}/{folder} is another model than the run states; plan it again")


def _read_policy(store: Store, name: str, digest: str) -> Policy:
    with suppress(PolicyRefused):
        policy = parse_policy_text(store.read(name).decode(errors="replace"), was_committed=True)
        if policy.digest == digest:
            return policy
    raise ConfigurationWrong(f"{store.place}/{name} is another policy than the run states; plan it again")


def _read_moves(run: OpenRun) -> tuple[Sequence[Move], Sequence[Move]]:
    if not run.manifest.head.notice:
        return (), ()
    try:
        stated = parse_json(run.store.read(SERVED))
        return [Move(*move) for move in stated["policies"]], [Move(*move) for move in stated["models"]]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationWrong(f"{run.store.place}/{SERVED} was altered; plan it again") from None


def read_receipt(store: Store, manifest: RunManifest, task: Task) -> Receipt:
    """Return the receipt of a task. Raises ConfigurationWrong if it is of another run or line, or cannot be read."""
    try:
        receipt = Receipt(**parse_json(store.read(task.receipt_path)))
    except (ValueError, TypeError):
        receipt = None
    if receipt is None or (receipt.line, receipt.manifest) != (task.line, manifest.digest):
        raise ConfigurationWrong(
            f"{store.place}/{task.receipt_path} is no receipt of this run; delete it, and run the line"
        )
    return receipt


def read_scores_of_task(store: Store, manifest: RunManifest, task: Task) -> pl.DataFrame:
    """Return a task's rows, one per seller. Raises ConfigurationWrong if the receipt contradicts the file."""
    receipt = read_receipt(store, manifest, task)
    try:
        part = _read_part(store, receipt.part, receipt.sha256)
        if len(part) == receipt.sellers and _is_of_run(part, manifest.head, task, manifest.buckets):
            return part
        raise ConfigurationWrong(f"{receipt.part} holds other sellers or another run's scores")
    except ConfigurationWrong as error:
        raise ConfigurationWrong(
            f"{error.message}: {task.receipt_path} does not state its part as it is; delete it, and run line {task.line}"
        ) from None


def _read_part(store: Store, part: str, digest: str, columns: Sequence[str] = ()) -> pl.DataFrame:
    """Return some columns, by default all. Raises ConfigurationWrong for another digest or schema, or a null."""
    data = store.read(part)
    if sha256(data).hexdigest() != digest:
        raise ConfigurationWrong(f"{store.place}/{part} was altered")
    with suppress(pl.exceptions.PolarsError):
        frame = pl.read_parquet(BytesIO(data), columns=list(columns) or None, use_statistics=False)
        has_schema = frame.schema == {name: _PART_SCHEMA[name] for name in columns or _PART_SCHEMA}
        if has_schema and not any(frame.drop("points", "tier", strict=False).null_count().row(0)):
            return frame
    raise ConfigurationWrong(f"{store.place}/{part} holds no scores")


def _is_of_run(part: pl.DataFrame, head: GenerationHead, task: Task, buckets: int) -> bool:
    sellers = set(part["seller"])
    made_by = part.select("day", *_MADE_BY).unique().rows()
    return (
        len(sellers) == len(part)
        and all(find_bucket(seller, buckets) == task.bucket for seller in sellers)
        and all(row == (head.day, head.model, head.policy, head.core, head.sequence) for row in made_by)
    )


def _score_task(run: OpenRun, task: Task) -> tuple[bytes, int]:
    manifest = run.manifest
    entries = _read_entries_of_task(run, task.files)
    extract = Extract(entries, _list_midnights(run, task, entries))
    policies, models = _read_moves(run)
    # A scorer reads facts and flow alone of a ledger, and of a policy what `_FixedPolicy` has.
    policy = cast(Any, _FixedPolicy(run.policy, policies, run.store))
    champion = _FixedChampion(run.artifact, models, run.store)
    rows = [*_list_rows(Scorer(cast(Any, extract), policy, champion), manifest, extract.sellers)]
    *columns, past = zip(*rows, strict=True) if rows else [()] * len(_SELLER_SCHEMA)
    points = np.array(past, dtype=np.int64).reshape(len(rows), run.policy.clear_days)  # lists are slow
    frame = pl.DataFrame([*columns, pl.Series(points)], schema=_SELLER_SCHEMA, orient="col").sort("seller")
    head = manifest.head
    frame = frame.with_columns(pl.lit(getattr(head, name), kind).alias(name) for name, kind in _MADE_BY.items())
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue(), len(frame)


def _read_entries_of_task(run: OpenRun, files: tuple[EntryFile, ...]) -> pl.DataFrame:
    reads_content = run.policy.caution is not None and run.policy.caution.flow_days
    reads_content |= any(isinstance(feature, AttributeFeature) for feature in run.artifact.features)
    store = Store(run.manifest.entries)
    entries = read_entries(store, files, (*COLUMNS, "content") if reads_content else COLUMNS)
    content = pl.col("content") if reads_content else pl.lit(None, pl.String)
    entries = entries.filter(pl.col("sequence") <= run.manifest.head.sequence)
    return entries.with_columns(pl.when(pl.col("kind").is_in(CONTENT_KINDS)).then(content).alias("content"))


def _list_midnights(run: OpenRun, task: Task, entries: pl.DataFrame) -> dict[str, list[int]]:
    """Return the points at the last midnights, -1 if unknown, of sellers without a newly known or visible entry."""
    before, days = run.manifest.earlier, run.policy.clear_days
    later = 0 if before is None else run.manifest.head.day - before.day
    if before is None or task.earlier is None or not 0 <= later < days:
        return {}
    with suppress(ConfigurationWrong):
        frame = _read_part(Store(before.place), *task.earlier, ("seller", "day", "midnights", *_MADE_BY))
        head = run.manifest.head._replace(day=before.day, sequence=before.sequence)
        points = frame["midnights"]
        is_whole = (points.list.len() == days).all() and not points.explode().null_count()
        if not is_whole or not _is_of_run(frame, head, task, run.manifest.buckets):
            return {}
        is_new = (pl.max_horizontal("occur_time", "report_time") >= before.observe_time) | (
            pl.col("sequence") > before.sequence
        )
        changed = entries.filter(is_new | (pl.col("exposure_day") >= before.day))["seller"].unique()
        rows = frame.filter(~pl.col("seller").is_in(changed.implode())).select("seller", "midnights").iter_rows()
        return {seller: [-1] * later + found[: days - later] for seller, found in rows}
    return {}


def _list_rows(scorer: Scorer, manifest: RunManifest, sellers: list[str]) -> Iterator[tuple[Any, ...]]:
    midnights: dict[str, list[int]] = {}

    def keep(core: CoreAnswer) -> None:
        if core.midnights is not None:
            midnights.update(zip(core.known.sellers, core.midnights.T.tolist(), strict=True))

    outcomes, stamp = scorer.scores(manifest.marketplace, sellers, manifest.head.cut, keep)
    if stamp.notice != manifest.head.notice:
        raise ConfigurationWrong("the run holds other moves of policies or models than its manifest; plan it again")
    for seller, score in zip(sellers, outcomes, strict=True):
        if isinstance(score, SellertrustError):
            continue
        answer = score_message(seller_name(manifest.marketplace, seller), score, None).SerializeToString()
        tier = None if score.tier is None else int(score.tier)
        yield seller, manifest.head.day, score.points, tier, score.valid_until, answer, midnights[seller]
