import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from scoring.base.enums import (
    Action,
    DepositChange,
    MeasureKind,
    MeasureState,
    Tier,
)
from scoring.base.time import DAY, SECOND
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged, OverrideImposed
from scoring.entries.kinds.settlement import DepositChanged
from scoring.measures.record import name_measure
from scoring.policy.measures import Suspension
from scoring.policy.policy import Policy
from service.bootstrap import build_scorer
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder, RecordResult
from service.mechanism.worker import MechanismWorker
from service.policy.policy_file import parse_policy_text
from service.scores.payouts import Payouts
from service.scores.scorer import Scorer
from tests.helpers.builders import MARKET, SELLER, Clock, confirmed, identity, status
from tests.helpers.policies import GRADED

GENERAL = GRADED.read_text(encoding="utf-8")
RULES = (
    GENERAL[: GENERAL.index("[[rules]]")]
    + """
[[rules]]
id = "everybody"
reference = "Terms 1"
measures = [{ kind = "deposit", amount_minor = 50_000 }]

[[rules]]
id = "review"
reference = "Terms 2"
standing = { from = 12 }
measures = [{ kind = "manual_review" }]

[[rules]]
id = "week"
reference = "Terms 3"
standing = { from = 24 }
measures = [{ kind = "suspension", days = 7 }]
"""
)


class Told:
    def __init__(self, ledger: Ledger, clock: Clock, by: Policy | None = None) -> None:
        self.ledger, self.clock = ledger, clock
        self.policy = by or parse_policy_text(RULES)
        self.worker = self.another()

    def another(self, ledger: Ledger | None = None) -> MechanismWorker:
        where = ledger or self.ledger
        return MechanismWorker(where, Recorder(where, build_scorer(where, self.policy)))

    def append(self, *entries: Entry) -> None:
        for entry in entries:
            self.clock.now += 60 * SECOND
            self.ledger.append(MARKET, [entry])

    def statements(self, seller: str = SELLER) -> list[MeasureChanged]:
        found = self.ledger.measures.read_seller_terms(MARKET, seller, self.ledger.cut()).statements
        return [one.fact for one in found if one.fact.rule]

    def record(self, seller: str = SELLER) -> list[tuple[str, str]]:
        return [(fact.rule, fact.state.name.lower()) for fact in self.statements(seller)]

    def in_force(self, seller: str = SELLER) -> dict[str, str]:
        found = build_scorer(self.ledger, self.policy).whole_answer(MARKET, seller, self.ledger.cut()).in_force
        return {one.rule: one.lifted for one in found.measures}


def history(told: Told, number: int, seed: int) -> None:
    draw = random.Random(seed)
    reported: dict[str, list[str]] = {f"s{n}": [] for n in range(3)}
    told.append(*(identity(f"i-{seller}", seller) for seller in reported))
    for n in range(number):
        seller = draw.choice([*reported])
        names = reported[seller]
        match draw.choice(["report", "report", "overturn", "override", "deposit", "lift"]):
            case "overturn" if names:
                told.append(status(names.pop(draw.randrange(len(names))), Action.OVERTURN))
            case "override":
                imposed = OverrideImposed(draw.choice([*Tier]), told.clock.now + 9 * DAY, "staff", "so")
                told.append(Entry(f"o{n}", seller, imposed))
            case "deposit":
                placed = DepositChanged(DepositChange.PLACED, draw.randint(1, 9_000), "EUR", "bank")
                told.append(Entry(f"d{n}", seller, placed))
            case "lift":
                fact = MeasureChanged(
                    name_measure(seller, "week", Suspension(7)),
                    *(MeasureKind.SUSPENSION, MeasureState.LIFTED, "staff-9", "a mistake"),
                )
                told.append(Entry(f"l{n}", seller, fact))
            case _:
                names.append(f"v{n}")
                told.append(confirmed(f"v{n}", seller))


def recorded(told: Told) -> dict[str, list[MeasureChanged]]:
    return {f"s{n}": told.statements(f"s{n}") for n in range(3)}


def undisturbed(folder: Path, seed: int) -> dict[str, Sequence[MeasureChanged]]:
    clock = Clock()
    with Ledger.open(f"sqlite:///{folder}/plain.db", create=True, clock=clock) as ledger:
        told = Told(ledger, clock)
        told.worker.look()
        history(told, 30, seed)
        told.worker.look()
        return facts_of(recorded(told))


def facts_of(record: dict[str, list[MeasureChanged]]) -> dict[str, Sequence[MeasureChanged]]:
    return {seller: [replace(fact, at_sequence=0) for fact in facts] for seller, facts in record.items()}


class Killed(BaseException):
    """The process is killed."""


class WatchedRecorder(Recorder):
    """Notes each call; the call after `ends_after` calls is killed."""

    def __init__(self, ledger: Ledger, scorer: Scorer, ends_after: int | None = None) -> None:
        super().__init__(ledger, scorer)
        self._ends_after = ends_after
        self.seen: list[tuple[int, int]] = []
        """(Number of sellers, sequence) of each call."""

    def record(self, marketplace: str, sellers: Sequence[str], cut: Cut) -> dict[str, RecordResult]:
        if len(self.seen) == self._ends_after:
            self._ends_after = None
            raise Killed
        self.seen.append((len(sellers), cut.sequence))
        return super().record(marketplace, sellers, cut)


def watched(told: Told, ends_after: int | None = None) -> tuple[MechanismWorker, list[tuple[int, int]]]:
    recorder = WatchedRecorder(told.ledger, build_scorer(told.ledger, told.policy), ends_after)
    return MechanismWorker(told.ledger, recorder), recorder.seen


EXPIRING = RULES.replace("expiry_days = 365", "expiry_days = 18")


@contextmanager
def killed_after(ledger: Ledger, appends: int) -> Iterator[None]:
    """End the process after this number of appends; commits stay, and nothing follows."""
    left = [appends]
    append = ledger.append

    def counted(*arguments: object, **named: object) -> object:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return append(*arguments, **named)  # type: ignore[arg-type]

    ledger.append = counted  # type: ignore[assignment]
    try:
        yield
    finally:
        ledger.append = append  # type: ignore[method-assign]


ORDERED = """

[[rules]]
id = "all"
reference = "Terms 1"
measures = [
  { kind = "settlement_hold", days = 7 },
  { kind = "rolling_reserve", ppm = 100_000, days = 90 },
  { kind = "value_cap", value_minor = 9_000, product_category = "toys" },
]

[[rules]]
id = "guilty"
reference = "Terms 2"
standing = { from = 12 }
measures = [{ kind = "settlement_hold", days = 30 }]
"""


POLICY = GENERAL[: GENERAL.index("[[rules]]")] + ORDERED


def payouts(ledger: Ledger, text: str = POLICY) -> Payouts:
    return Payouts(ledger, build_scorer(ledger, parse_policy_text(text)))
