"""Rescoring: all sellers' answers for one model, policy and day, by tasks over exported entries, in one generation.

STORE/entries/{marketplace}/            the exported entries
STORE/runs/{day}-{model}-{policy}/      head.json while the run is unfinished
    {plan}/{marketplace}/               a manifest, and the scores as Parquet
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from scoring.base.canonical import canonical_json, parse_json
from scoring.base.errors import (
    ArtifactRefused,
    ConfigurationWrong,
    LedgerUnavailable,
    ModelNotFound,
    PolicyNotFound,
    PolicyRefused,
)
from scoring.base.frozen import frozen
from scoring.base.time import DAY, format_time
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from sellertrust.names import seller_name
from service.files import make_private
from service.ledger.store import Ledger
from service.scale.export import ExportResult, export_entries, forget_foreign
from service.scale.layout import encode_with_digest, take_digest
from service.scale.local import TaskLine
from service.scale.manifest import (
    MANIFEST,
    MODEL,
    MODELS,
    POLICIES,
    POLICY,
    SCORES,
    SERVED,
    EarlierRun,
    RunManifest,
    make_manifest,
    read_manifest,
)
from service.scale.task import read_receipt, read_scores_of_task
from service.scores.book.code_digests import contract_digest, core_digest
from service.scores.book.generation_file import (
    SUFFIX,
    GenerationHead,
    GenerationWriter,
    day_of,
    delete_abandoned,
)
from service.scores.scorer import Scorer
from service.shared_files import Store

HEAD = "head.json"

Progress = Callable[[str, int, int], None]
Driver = Callable[[Sequence[TaskLine], int], Iterator[int]]
"""Runs lines whose tasks take so many bytes of memory each; yields how many are done."""


class RescoringParts(NamedTuple):
    ledger: Ledger
    scorer: Scorer


@frozen
class RescoredFile:
    path: Path
    head: GenerationHead
    sellers: int


class Run(NamedTuple):
    store: Store
    manifest: RunManifest


def rescore(
    opened: RescoringParts, folder: Path, store: Store, days: int, driver: Driver, progress: Progress
) -> RescoredFile:
    """Write today's or the next day's generation into a private folder; return what was written.

    `store` keeps exported entries and runs; an unfinished run of the same day, model, policy and release goes on. `days`
    is 0 for today in UTC, 1 for tomorrow. `progress` gets (step, done, total). It replaces a generation of the same
    day, model and policy, and deletes days before yesterday. Raises ConfigurationWrong, LedgerUnavailable, ProcessEnded.
    """
    make_private(folder)
    delete_abandoned(folder)
    head, runs = plan_runs(opened, store, days, progress)
    lines = [TaskLine(run.store.place, task.line) for run in runs for task in run.manifest.tasks]
    pending = [
        TaskLine(run.store.place, task.line)
        for run in runs
        for task in run.manifest.tasks
        if not run.store.exists(task.receipt_path)
    ]
    progress("rescore", len(lines) - len(pending), len(lines))
    for done in driver(pending, max((run.manifest.memory_bytes for run in runs), default=0)):
        progress("rescore", len(lines) - len(pending) + done, len(lines))
    rescored = write_generation(folder, head, runs, progress)
    store.subfolder(f"runs/{_name_run(head)}").delete(HEAD)
    _delete_older(folder, head.day - days - 1)
    _sweep_runs(store, runs, head.day - days - 1)
    return rescored


def plan_runs(opened: RescoringParts, store: Store, days: int, progress: Progress) -> tuple[GenerationHead, list[Run]]:
    """Return (head, runs by marketplace) of an unfinished rescoring, or of a new one after an export of what is new."""
    artifact = opened.scorer.champion.artifact
    if artifact is None:
        raise ConfigurationWrong("there is no model to score with; publish one: sellertrust train ... --publish")
    store.make_private()
    head = _make_head(opened, days)
    of_day = store.subfolder(f"runs/{_name_run(head)}")
    if not of_day.exists(HEAD):
        plan = uuid.uuid4().hex
        names = list(opened.ledger.sellers.list_marketplaces())
        for marketplace in names:
            entries = store.subfolder(f"entries/{marketplace}")
            forget_foreign(opened.ledger, entries, marketplace)
            exported = export_entries(opened.ledger, entries, marketplace, head.cut, progress)
            run = of_day.subfolder(f"{plan}/{marketplace}")
            manifest = make_manifest(
                exported, entries.place, head, *_find_run_of_day_before(opened, store, exported, head)
            )
            write_run(run, manifest, artifact, opened.scorer.policy.now)
            write_served(run, head, opened.scorer)
        stated = {"plan": plan, "marketplaces": names, "head": head._asdict()}
        of_day.create(HEAD, encode_with_digest(stated))
    planned, places = _read_head(of_day)
    chain = None if planned is None else opened.ledger.seals.chain_at(planned.sequence)
    if planned is None or planned.ingredients != head.ingredients or chain is None or chain.hex() != planned.chain:
        of_day.delete(HEAD)  # another release or ledger planned it
        return plan_runs(opened, store, days, progress)
    return planned, [Run(place, read_manifest(place.read(MANIFEST), place.place)) for place in places]


def _read_head(of_day: Store) -> tuple[GenerationHead | None, list[Store]]:
    try:
        stated = parse_json(of_day.read(HEAD))
        if not take_digest(stated):
            return None, []
        places = [of_day.subfolder(f"{stated['plan']}/{name}") for name in stated["marketplaces"]]
        return GenerationHead(**stated["head"]), places
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, []


def _find_run_of_day_before(
    opened: RescoringParts, store: Store, exported: ExportResult, head: GenerationHead
) -> tuple[EarlierRun | None, dict[int, tuple[str, str]]]:
    before = store.subfolder(f"runs/{_name_run(head._replace(day=head.day - 1))}")
    for name in before.list("") if not head.notice else ():
        plan, *rest = name.split("/", 1)
        if rest != [f"{exported.marketplace}/{MANIFEST}"]:
            continue
        with suppress(ConfigurationWrong):  # it is of another version, or not finished
            run = before.subfolder(f"{plan}/{exported.marketplace}")
            found = read_manifest(run.read(MANIFEST), run.place)
            chain = opened.ledger.seals.chain_at(found.head.sequence)
            is_same = (found.buckets, found.mended) == (exported.buckets, exported.mended)
            is_same &= found.head.ingredients == head.ingredients
            if is_same and chain is not None and chain.hex() == found.head.chain:
                receipts = {task.bucket: read_receipt(run, found, task) for task in found.tasks}
                earlier = EarlierRun(run.place, found.head.day, found.head.observe_time, found.head.sequence)
                return earlier, {bucket: (one.part, one.sha256) for bucket, one in receipts.items()}
    return None, {}


def write_run(run: Store, manifest: RunManifest, artifact: Artifact, policy: Policy) -> None:
    """Write what tasks read: the model, the policy, and last the manifest."""
    for name, data in artifact.parts.items():
        run.write(f"{MODEL}/{name}", data)
    run.write(POLICY, policy.text.encode())
    run.write(MANIFEST, manifest.encode())


def write_served(run: Store, head: GenerationHead, scorer: Scorer) -> None:
    """Write what was served before the moves of a notice, if one runs: the answers before them still count."""
    if not head.notice:
        return
    policies, models = scorer.policy.changes, scorer.champion.changes
    run.write(SERVED, canonical_json({"policies": policies, "models": models}))
    for digest in {digest for move in policies for digest in (move.before, move.after)}:
        with suppress(PolicyNotFound, PolicyRefused):
            run.write(f"{POLICIES}/{digest}.toml", scorer.policy.find(digest).text.encode())
    for digest in {digest for move in models for digest in (move.before, move.after)}:
        with suppress(ModelNotFound, ArtifactRefused):
            found = scorer.champion.find(digest)
            for name, data in (found.parts if found else {}).items():
                run.write(f"{MODELS}/{digest}/{name}", data)


def _name_run(head: GenerationHead) -> str:
    return head.name.removesuffix(SUFFIX)


def write_generation(folder: Path, head: GenerationHead, runs: Sequence[Run], progress: Progress) -> RescoredFile:
    """Join the scores of finished tasks into one file for servers; return its place and the number of sellers."""
    total = sum(len(run.manifest.tasks) for run in runs)
    done = sellers = 0
    with GenerationWriter(folder, head) as writer:
        for store, manifest in runs:
            for task in manifest.tasks:
                part = read_scores_of_task(store, manifest, task)
                answers = part.select("seller", "valid_until", "answer").iter_rows()
                writer.add((seller_name(manifest.marketplace, name), until, body) for name, until, body in answers)
                done, sellers = done + 1, sellers + len(part)
                progress("write", done, total)
        return RescoredFile(writer.finish(), head, sellers)


def _make_head(opened: RescoringParts, days: int) -> GenerationHead:
    ledger, scorer = opened
    made_by = scorer.made_by
    ledger.clock.read_end()
    day, settled = ledger.clock.now() // DAY + days, ledger.clock.settled()
    end = ledger.cut()
    made_time = end.known_time if settled is None else settled
    observe_time = max(end.observe_time, day * DAY)
    if end.known_time > observe_time or observe_time >= (day + 1) * DAY:
        raise LedgerUnavailable(
            f"the last record time, {format_time(end.known_time - 1)}, or the clock is ahead of the day that is asked for;"
            " repeat the command, and see to the clock: sellertrust doctor"
        )
    chain = ledger.seals.chain_at(end.sequence)
    if chain is None:
        raise LedgerUnavailable("no seal ends where the ledger ended; repeat the command")
    digests = (made_by.model, made_by.policy, core_digest(), contract_digest(), made_by.notice)
    return GenerationHead(day, observe_time, end.known_time, end.sequence, chain.hex(), made_time, *digests)


def _delete_older(folder: Path, first: int) -> None:
    for path in folder.iterdir():
        name, suffix, _ = path.name.partition(SUFFIX)
        day = day_of(name + suffix)
        if day is not None and day < first:
            path.unlink(missing_ok=True)


def _sweep_runs(store: Store, runs: Sequence[Run], first: int) -> None:
    """Delete runs of days before `first`, and attempts that count in none of `runs`."""
    mine = {run.store.place.removeprefix(f"{store.place}/"): run for run in runs}
    of_day = {place.split("/")[1] for place in mine}
    counted = {
        f"{place}/{read_receipt(run.store, run.manifest, task).part}"
        for place, run in mine.items()
        for task in run.manifest.tasks
    }
    for name in store.list("runs"):
        _, own, *rest = name.split("/")
        is_old = (day_of(own[:10] + SUFFIX) or 0) < first
        is_attempt = (
            own in of_day
            and len(rest) > 2
            and (f"runs/{own}/{rest[0]}/{rest[1]}" not in mine or (rest[2] == SCORES and name not in counted))
        )
        if is_old or is_attempt:
            store.delete(name)
