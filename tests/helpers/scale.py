import os
import random
import signal
from contextlib import nullcontext, suppress
from pathlib import Path

from scoring.base.enums import Action, Attribution, ControlReason, Tier
from scoring.base.errors import SellertrustError
from scoring.base.time import SECOND
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import ControlChanged
from scoring.entries.kinds.conduct import AttributionStated, StatusChanged
from scoring.entries.kinds.decisions import OverrideImposed
from scoring.entries.kinds.settlement import FlowStated
from scoring.policy.policy import Policy
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.policy.policy_file import SHIPPED_POLICY, read_policy
from service.scale.local import TaskLine
from service.scale.manifest import RunManifest
from service.scale.rescoring import RescoringParts, Run, plan_runs
from service.scores.scorer import Scorer
from service.shared_files import Store
from tests.helpers.builders import (
    MARKET,
    NOW,
    TODAY,
    ago,
    attribution,
    confirmed,
    correction,
    exposure,
    identity,
    status,
    violation,
)
from tests.helpers.servers import Shelf
from tests.helpers.worlds import artifact

GENERAL: Policy = read_policy(SHIPPED_POLICY)


def fill(ledger: Ledger, sellers: int, seed: int = 7) -> None:
    chance = random.Random(seed)
    for number in range(sellers):
        seller = f"s{number}"
        entries = [identity(f"i{number}", seller), *(_list_sales(chance, seller))]
        for count in range(chance.randrange(6)):
            make = chance.choice([violation, violation, confirmed])
            entries.append(make(f"v{number}-{count}", seller, occur_time=ago(chance.uniform(0.1, 40))))
        reports = [entry.entry_id for entry in entries if entry.entry_id.startswith("v")]
        for report in reports:
            if chance.random() < 0.4:
                entries.append(status(report, chance.choice([Action.CONFIRM, Action.DISMISS])))
                break
        if reports and chance.random() < 0.3:
            entries.append(attribution(reports[-1], Attribution.ACCEPTED))
        if chance.random() < 0.3:
            captured, lost = chance.randrange(10, 200), chance.randrange(60)
            entries.append(
                Entry(f"f{number}", seller, FlowStated(TODAY - 1, delivered_orders=captured, disputed_orders=lost))
            )
        if chance.random() < 0.2:
            entries.append(Entry(f"c{number}", seller, ControlChanged(ControlReason.SOLD, "staff", "sold"), ago(1)))
        if chance.random() < 0.2:
            entries.append(
                Entry(f"o{number}", seller, OverrideImposed(Tier.PROBATION, NOW + 3_600 * SECOND, "staff", "asked for"))
            )
        for entry in entries:
            is_decision = isinstance(entry.fact, StatusChanged | AttributionStated)
            with suppress(SellertrustError) if is_decision else nullcontext():  # the state may not allow it
                ledger.append(MARKET, [entry])
        if chance.random() < 0.2:
            ledger.append(MARKET, [correction(f"i{number}", moved_to=ago(200))])


def _list_sales(chance: random.Random, seller: str) -> list[Entry]:
    days = chance.sample(range(1, 200), 8)
    sales = [exposure(TODAY - day, seller, settled_orders=chance.randrange(1, 300)) for day in days]
    return [*sales, exposure(TODAY - days[0], seller, settled_orders=500, revision=1)]


def open_scorer(ledger: Ledger, policy: Policy = GENERAL) -> Scorer:
    return build_scorer(ledger, policy, Shelf(artifact()))


def planned(ledger: Ledger, folder: Path, days: int = 0) -> Run:
    _, runs = plan_runs(RescoringParts(ledger, open_scorer(ledger)), Store(folder), days, lambda *_: None)
    [run] = [one for one in runs if one.manifest.marketplace == MARKET]
    return run


def folder_of(run: Run) -> Path:
    return Path(run.store.place)


def entry_files(manifest: RunManifest) -> list[Path]:
    return [Path(manifest.entries) / file.path for task in manifest.tasks for file in task.files]


def lines_of(run: Run) -> list[TaskLine]:
    return [TaskLine(run.store.place, task.line) for task in run.manifest.tasks]


class Blocked:
    """A file of entries whose readers wait, as for a slow disk, until it is whole again."""

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        self.end = -1

    def is_read(self) -> bool:
        try:
            self.end = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads
            return False
        return True

    def mend(self) -> None:
        other = self.path.with_name("whole")
        other.write_bytes(self.data)
        other.replace(self.path)

    def is_left(self) -> bool:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        try:
            os.write(self.end, b"x")
        except BrokenPipeError:
            return True
        return False
