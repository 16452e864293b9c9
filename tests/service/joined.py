"""Histories through the real ledger, mechanism, terms and payouts, with changes of policy and model.

Runners take what their terms allow from a day on, keep no order, and are stopped at the latest assumed day. Other
sellers misbehave, are overturned completely, and have a twin without violations. Every day a visible measure is
contested, and the record is compared with the measures in force.
"""

import json
import random
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import pairwise
from typing import Any

from scoring.base.enums import Action, ComplaintOutcome, DepositChange, MeasureState, PayoutsChange, Tier
from scoring.base.errors import LossNotAccepted, MeasureNotFound
from scoring.base.time import DAY, SECOND, format_time
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged, OverrideImposed
from scoring.entries.kinds.settlement import ComplaintDecided, ComplaintFiled, DepositChanged, PayoutsChanged
from scoring.loss_certificate.states import count_run_days
from scoring.measures.in_force import InForce
from scoring.model.artifact import Artifact
from scoring.policy.measures import PPM, Terms, Waiver
from scoring.policy.payout import Order
from service.bootstrap import build_scorer
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder
from service.mechanism.worker import MechanismWorker
from service.policy.history import PolicyCommit
from service.policy.policy_file import parse_policy_text
from service.registry.moves import ModelMove
from service.scores.payouts import Payouts
from tests.helpers.builders import NOW, Clock, confirmed, exposure, identity, status, violation
from tests.helpers.lives import asked_for, cap_of
from tests.helpers.servers import Shelf
from tests.helpers.worlds import artifact
from tests.scoring.loss_certificate.joined import Served, draw_sequences

MARKET = "acme"
DAYS = 14
RUNNERS, TWINS = 10, 10


def to_toml(data: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(name)} = {_inline(part)}\n" for name, part in data.items())


def _inline(value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{json.dumps(key)} = {_inline(part)}" for key, part in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


class Shelves(Shelf):
    def __init__(self, model: Artifact) -> None:
        super().__init__(model)
        self.since: int | None = None

    def champion_digest(self) -> str | None:  # type: ignore[override]
        return None if self.since is None else str(self._artifact.digest)

    def history(self) -> list[ModelMove]:
        if self.since is None:
            return []
        return [ModelMove("champion", str(self._artifact.digest), "a-1", "the first", format_time(self.since))]


@dataclass
class Runner:
    name: str
    is_real: bool
    starts: int
    """Day of the first order that it does not keep."""
    cash: int
    stop: int = 10**9
    orders: list[Order] = field(default_factory=list)


class Place:
    def __init__(self, served: Served, chance: random.Random, ledger: Ledger, clock: Clock) -> None:
        self.served, self.chance, self.ledger, self.clock = served, chance, ledger, clock
        self.texts = [to_toml(data) for data in served.data]
        policy = parse_policy_text(self.texts[0])
        assert policy.digest == served.policies[0].digest
        self.shelves = Shelves(artifact())
        self.scorer = build_scorer(ledger, policy, self.shelves)
        self.plain = build_scorer(ledger, policy, self.shelves)
        """Its answers know no notice."""
        self.payouts, self.recorder = Payouts(ledger, self.scorer), Recorder(ledger, self.scorer)
        self.worker = MechanismWorker(ledger, self.recorder)
        self.first = policy
        self.found: Counter[str] = Counter()
        self.faults: list[str] = []
        self.number = 0
        self.open: dict[str, list[str]] = {f"m-{n:02}-a": [] for n in range(TWINS)}

    @property
    def today(self) -> int:
        return self.clock.now // DAY

    def append(self, *entries: Entry) -> None:
        self.clock.now += 2 * SECOND
        self.recorder.record_contested(MARKET, entries)
        self.ledger.append(MARKET, [*entries])

    def measures(self, seller: str) -> InForce:
        return self.scorer.whole_answer(MARKET, seller, self.ledger.cut()).in_force

    def fault(self, what: str, text: str) -> None:
        self.found[what] += 1
        self.faults.append(f"{what}: {text}")

    def commit(self, place: int) -> None:
        """Commit the next policy by the assumptions, and accept the sums of its refusal."""
        head, losses = self.scorer.policy.now.digest, {}
        for _ in range(2):
            self.clock.now += 2 * SECOND
            try:
                stated, accepted = to_toml(self.served.stated), [*losses.items()]
                wanted = PolicyCommit(self.texts[place], head, "staff", "so", stated, accepted)
                self.scorer.policy.history.commit(wanted, self.first)
                break
            except LossNotAccepted as error:
                losses = {
                    name: int(most) for name, most in (one.split("=") for one in error.metadata["losses"].split())
                }
        self.scorer.policy.refresh()

    def settle(self, name: str, settled: int, tenure: int) -> list[Entry]:
        since = self.today - tenure
        entries = [identity(f"i-{name}", name, occur_time=since * DAY + SECOND)]
        if settled:
            day = max(since, self.today - 1)
            entries.append(
                exposure(day, name, entry_id=f"x-{name}", settled_orders=9, value_minor=settled, currency="EUR")
            )
        return entries

    def runner(self, number: int) -> Runner:
        chance, assumptions = self.chance, self.served.assumptions
        steps, tenures = (sorted({0}.union(*axis)) for axis in zip(*map(asked_for, self.served.policies), strict=True))
        settled = max(chance.choice([0, *steps]) + chance.choice([0, 0, 0, -1]), 0)
        tenure, is_real = max(chance.choice([0, *tenures]) + chance.choice([0, 0, 2]), 1), chance.random() < 0.6
        cost = 0 if is_real else -(-settled * assumptions.wash_ppm // PPM)
        one = Runner(f"r-{number:02}", is_real, chance.randrange(3), -assumptions.identity_minor - cost)
        self.append(*self.settle(one.name, settled, tenure))
        return one

    def take(self, one: Runner, day: int, captured: int) -> int:
        found = self.measures(one.name)
        if found.terms.deposit_minor:
            self.number += 1
            placed = DepositChanged(DepositChange.PLACED, found.terms.deposit_minor, "EUR", "bank")
            one.cash -= found.terms.deposit_minor
            self.append(Entry(f"d{self.number}", one.name, placed))
            found = self.measures(one.name)
        room = cap_of(found.terms) - captured
        trade = self.scorer.policy.now.trade
        assert trade is not None
        if room <= 0 or found.terms.suspension_days:
            return captured
        if not one.orders:
            one.stop = day + count_run_days(trade, self.served.assumptions)
        one.orders.append(Order(room, self.today, "EUR"))
        return captured + room

    def misbehave(self, name: str, day: int) -> None:
        self.number += 1
        number, names = self.number, self.open[name]
        match self.chance.choice(["report", "report", "allege", "overturn", "lift", "complain", "letter", "rest"]):
            case "report":
                self.append(confirmed(f"v{number}", name, occur_time=self.clock.now - DAY))
                names.append(f"v{number}")
            case "allege":
                self.append(violation(f"v{number}", name, occur_time=self.clock.now - DAY))
                names.append(f"v{number}")
            case "overturn" if names:
                self.take_back(names.pop(self.chance.randrange(len(names))))
            case "lift" | "complain" | "letter" as what:
                shown = [one for one in self.measures(name).measures if one.rule and one.has_effect and one.violations]
                # `listed` can hold without violations too, and then a lift of it stays: its twin has none.
                shown = [one for one in shown if one.rule != "listed"]
                if not shown:
                    return
                one = self.chance.choice(shown)
                if what == "complain":
                    self.contest(name, one.measure, ComplaintOutcome.UPHELD)
                    return
                state = MeasureState.LIFTED if what == "lift" else MeasureState.NOTICE_SENT
                fact = MeasureChanged(one.measure, one.current.kind, state, "boss", "a mistake")
                self.append(Entry(f"l{number}", name, fact))

    def take_back(self, name: str) -> None:
        found = self.ledger.violations.find(MARKET, name, self.ledger.cut())
        action = Action.DISMISS if found.status.name in ("ALLEGED", "UNDER_REVIEW") else Action.OVERTURN
        self.append(status(name, action))

    def contest(self, seller: str, measure: str, outcome: ComplaintOutcome) -> None:
        self.number += 1
        name = f"c{self.number}"
        try:
            self.append(Entry(name, seller, ComplaintFiled(measure, "not ours")))
        except MeasureNotFound as error:
            self.fault("not_contestable", f"{seller} {measure}: {error}")
            return
        self.append(Entry(f"{name}-d", seller, ComplaintDecided(name, outcome, f"judge-{self.number}", "so it is")))

    def contest_some(self) -> None:
        seller = self.chance.choice([*self.open, *(f"r-{n:02}" for n in range(RUNNERS))])
        shown = [one for one in self.measures(seller).measures if one.rule and one.has_effect]
        shown = [one for one in shown if not isinstance(one.current, Waiver)]
        if shown:
            self.found["contested"] += 1
            self.contest(seller, self.chance.choice(shown).measure, ComplaintOutcome.REJECTED)

    @staticmethod
    def _is_noticed(cut: Cut, time: int, days: int) -> bool:
        return days > 0 and cut.observe_time < -(-(time + days * DAY) // DAY) * DAY

    def check_notice(self, seller: str) -> None:
        """Compare a seller without violations with the laxer answer of all that was served and whose notice runs."""
        cut, model = self.ledger.cut(), self.scorer.champion.artifact
        served = [(model, self.scorer.policy.now)]
        moves = self.scorer.policy.history.list_moves(0, 99)
        promoted = self.shelves.since or 0
        for old, new in pairwise(moves):
            policies = [self.scorer.policy.find(move.digest) for move in (old, new)]
            if self._is_noticed(cut, new.move_time, max(policy.notice_days for policy in policies)):
                served.append((None if new.move_time < promoted else model, policies[0]))
        earlier = [self.scorer.policy.find(move.digest) for move in moves if move.move_time <= promoted]
        before = earlier[-1] if earlier else self.first
        self.found["notices"] += len(served) > 1
        if promoted and self._is_noticed(cut, promoted, before.notice_days):
            served.append((None, before))
        plain = [self.plain.whole_answer(MARKET, seller, cut, made_by=made_by).in_force for made_by in served]
        found, own = self.scorer.whole_answer(MARKET, seller, cut).in_force, plain[0]
        lax = reduce(Terms.laxer_of, (one.terms for one in plain))
        waiting = {
            name: getattr(lax, name) for name in ("listing_caps", "manual_review")
        }  # a group's cap does not wait
        tier = max((one.score.tier for one in plain if one.score.tier), default=None)
        self.found["waited"] += found.terms != own.terms or found.score.tier != own.score.tier
        if (found.terms, found.score.tier, found.score.badge) != (
            replace(own.terms, **waiting), tier, own.score.badge,
        ):  # fmt: skip
            self.fault("notice", f"{seller}: {found.score.tier} {found.terms} by {tier} {plain}")

    def look(self) -> None:
        self.clock.now += 2 * SECOND
        self.worker.look()
        for number in range(RUNNERS):
            self.check_notice(f"r-{number:02}")
        for seller in [*self.open, *(f"r-{n:02}" for n in range(RUNNERS))]:
            if late := self.recorder.record(MARKET, [seller], self.ledger.cut())[seller].appended:
                self.fault("unrecorded", f"{seller}: {late} statements")


def live(served: Served, seed: int) -> tuple[Counter[str], list[str]]:
    """Run one ledger's history; return the counts, and a sentence for each fault."""
    chance, clock = random.Random(seed), Clock(NOW - NOW % DAY + DAY // 2)
    dates = [one.first_day for policy in served.policies for one in policy.rule_book.seasons if one.first_day > 0]
    if dates and chance.random() < 0.5:
        clock.now = (chance.choice(dates) - chance.randrange(9)) * DAY + DAY // 2
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.open(f"sqlite:///{folder}/ledger.db", create=True, clock=clock) as ledger,
    ):
        place = Place(served, chance, ledger, clock)
        runners = [place.runner(number) for number in range(RUNNERS)]
        for name in place.open:
            settled, tenure = chance.randrange(4_000), chance.randrange(1, 200)
            place.append(*place.settle(name, settled, tenure), *place.settle(name.replace("-a", "-b"), settled, tenure))
        commits = Counter(chance.randrange(2, DAYS - 4) for _ in served.policies[1:])
        promoted, made = chance.randrange(DAYS), 0
        for day in range(DAYS):
            captured: Counter[str] = Counter()
            for moment in range(1 + commits[day]):
                if moment:
                    made += 1
                    place.commit(made)
                _spend(place, runners, day, captured)
            if day == promoted:
                place.shelves.since = clock.now
                place.scorer.champion._moves_read = 0
                place.scorer.champion.refresh()
            for name in place.open:
                if chance.random() < 0.4:
                    place.misbehave(name, day)
            place.contest_some()
            place.look()
            clock.now = (place.today + 1) * DAY + DAY // 2
        _judge(place, runners)
    return place.found, place.faults


def _spend(place: Place, runners: list[Runner], day: int, captured: Counter[str]) -> None:
    for one in runners:
        if day == one.stop and not captured[one.name]:
            captured[one.name] = 1
            place.append(Entry(f"stop-{one.name}", one.name, PayoutsChanged(PayoutsChange.STOPPED, "staff", "a run")))
        if one.starts <= day < one.stop:
            if place.chance.random() < 0.15:
                until = (place.today + 9) * DAY  # at a midnight, when every seller is evaluated
                fact = OverrideImposed(place.chance.choice([*Tier]), until, "staff", "so")
                place.number += 1
                place.append(Entry(f"o{place.number}", one.name, fact))
            captured[one.name] = place.take(one, day, captured[one.name])


def _judge(place: Place, runners: list[Runner]) -> None:
    begun = place.today - DAYS
    for one in runners:
        place.found["histories"] += 1
        total = one.cash
        for order in one.orders:
            age = place.served.assumptions.carrier_days
            days = (begun + min(one.stop, DAYS) - 1, place.today)
            paid = 0
            for day in days if one.stop < DAYS else days[:1]:
                seen = Order(order.captured_minor, order.capture_day, "EUR", day - order.capture_day >= age)
                if day >= order.capture_day:
                    found = place.payouts.evaluate(MARKET, one.name, seen, day, "", place.ledger.cut())
                    paid = max(paid, found.payout.released_minor)
            total += paid
        bound = place.served.bound(is_real=one.is_real)
        if total > bound:
            place.fault("above_bound", f"{one.name}: {total} of {bound}")
    for reported in place.open.values():
        place.found["histories"] += 1
        for one_id in reported:
            place.take_back(one_id)
    place.look()
    cut = place.ledger.cut()
    for name in place.open:
        twin = name.replace("-a", "-b")
        texts = []
        for seller in (name, twin):
            shown = [repr(place.scorer.whole_answer(MARKET, seller, cut).in_force)]
            for age in (0, 3, 7):
                order = Order(1_000, place.today - age, "EUR")
                found = place.payouts.evaluate(MARKET, seller, order, place.today, "", cut)
                shown.append(repr((found.payout, found.terms, found.value_cap_minor)))
            texts.append(re.sub("~[0-9a-f]{16}", "~", "\n".join(shown)).replace(twin, name))
        if texts[0] != texts[1]:
            place.fault("traces", f"{name}: {texts[0]}\n     not {texts[1]}")


def play(places: int, seed: int) -> tuple[Counter[str], list[str]]:
    chance, found, faults = random.Random(seed), Counter[str](), []
    drawn = draw_sequences(chance)
    for number in range(places):
        more, said = live(next(drawn), chance.randrange(2**32))
        found, faults = found + more, faults + [f"place {number}, {one}" for one in said]
    return found, faults
