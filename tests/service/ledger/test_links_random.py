"""Random histories of links: what the ledger states one append after another is what the whole of it gives at once."""

import random
from typing import Any

import pytest

from scoring.base.enums import Action, CaseState, LinkKind, LinkState, MeasureKind, MeasureState
from scoring.base.time import DAY
from scoring.entries.cases import LINK_RULE, name_case
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.measures.imposed import ImpositionContext, list_imposed
from scoring.network.links import Graph
from scoring.network.terms import find_terms
from scoring.policy.rules import NO_RULES
from service.ledger.records import Cut
from service.ledger.store import Ledger
from tests.helpers.answers import fact_rows
from tests.helpers.builders import MARKET, Clock, confirmed, correction, link, status

SELLERS = [f"s{n}" for n in range(5)]
THINGS = ("iban", "phone", "flat")
KINDS = (LinkKind.BANK_ACCOUNT, LinkKind.DEVICE, LinkKind.LOGISTICS)
pytestmark = pytest.mark.long
Terms = set[tuple[str, str, int, tuple[str, ...], int, int, int]]


class History:
    """Random entries about links, violations and bans. Each kind of entry can be taken back."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._count = 0
        self._banned: set[str] = set()
        self.revocable: list[str] = []
        self.violations: list[tuple[str, str]] = []

    def wait(self, clock: Clock) -> bool:
        """Return whether a day or more passed."""
        days = max(self._chance.randrange(-6, 3), 0)
        clock.now += days * DAY + 1_000
        return days > 0

    def draw(self, now: int) -> Entry:  # noqa: PLR0911 (one return a kind of entry)
        chance, self._count = self._chance, self._count + 1
        name, seller = f"e{self._count}", chance.choice(SELLERS)
        place = chance.randrange(len(THINGS))
        match chance.randrange(10):
            case 0 if self.revocable:
                return correction(self.revocable.pop(chance.randrange(len(self.revocable))))
            case 1 if self.violations:
                return status(self.violations.pop()[0], Action.OVERTURN)
            case 2:
                self.violations.append((name, seller))
                return confirmed(name, seller)
            case 3 if self.violations:
                cause, seller = self.violations[-1]
                return self._draw_ban(name, seller, cause, now)
            case 4 | 5:
                decided = chance.choice([LinkState.CONFIRMED, LinkState.SEVERED, LinkState.CONTESTED])
                return link(name, seller, THINGS[place], kind=KINDS[place], state=decided)
            case 6:
                other = chance.choice([one for one in SELLERS if one != seller])
                self.revocable.append(name)
                return link(name, seller, "", other=other, strength_ppm=chance.choice([0, 700_000, 800_000]))
            case _:
                self.revocable.append(name)
                strength = chance.choice([0, 600_000, 900_000])
                return link(name, seller, THINGS[place], kind=KINDS[place], strength_ppm=strength)

    def _draw_ban(self, name: str, seller: str, cause: str, now: int) -> Entry:
        states = [MeasureState.LIFTED, *([MeasureState.NOTICE_SENT] if seller in self._banned else [])]
        state = self._chance.choice([*2 * [MeasureState.IMPOSED], *states])
        fields: dict[str, Any] = {}
        if state is MeasureState.IMPOSED:
            self.revocable.append(name)
            fields = self._chance.choice([{}, {"days": 1}, {"until": now + DAY}])
        self._banned.add(seller)
        violations = () if state is MeasureState.NOTICE_SENT else (cause,)
        fact = MeasureChanged("ban", MeasureKind.SUSPENSION, state, "a", "b", violations=violations, **fields)
        return Entry(name, seller, fact)


def stated(ledger: Ledger) -> Terms:
    found: Terms = set()
    for seller in SELLERS:
        cases = ledger.measures.read_seller_terms(MARKET, seller, ledger.cut()).cases
        last = {one.fact.case: one for one in cases}
        for name, one in last.items():
            if one.fact.state is CaseState.OPENED:
                fact = one.fact
                values = (fact.strength_ppm, fact.rests_on, fact.accounts, one.occur_time, fact.caution_end or 0)
                found.add((seller, name, *values))
    return found


def is_suspended(ledger: Ledger, seller: str, cut: Cut) -> bool:
    statements = ledger.measures.read_seller_terms(MARKET, seller, cut).statements
    asked = ImpositionContext(cut.observe_time, NO_RULES, MARKET)
    return any(list_imposed(statements, fact_rows(ledger, seller, cut=cut), asked))


def at_once(ledger: Ledger) -> Terms:
    cut = ledger.cut()
    low = {kind: one.low_ppm for kind, one in ledger.links.find_precision(MARKET, cut).items()}
    graph = Graph.of(ledger.links.list_holds(MARKET, cut), low)
    found = ledger.links.find_violators(MARKET, SELLERS, cut).items()
    violators = {seller: one._replace(is_suspended=is_suspended(ledger, seller, cut)) for seller, one in found}
    terms = find_terms(SELLERS, graph, violators, cut.observe_time)
    return {
        (one.seller, name_case(LINK_RULE, one.cause), one.strength_ppm, one.entries, one.accounts, one.start, one.until)
        for one in terms
    }


def measured(ledger: Ledger) -> None:
    """Have the kinds a precision of almost 1, by decided links of other sellers."""
    for kind in KINDS[:2]:
        entries = [link(f"{kind}-{n}", f"k{n}", f"known{kind}", kind=kind) for n in range(50)]
        ledger.append(MARKET, entries)
        states = [
            link(f"{kind}-{n}c", f"k{n}", f"known{kind}", kind=kind, state=LinkState.CONFIRMED) for n in range(50)
        ]
        ledger.append(MARKET, states)
    ledger.refresh_links(MARKET)


@pytest.mark.parametrize("seed", range(4))
def test_every_append_states_what_the_whole_gives(ledger: Ledger, clock: Clock, seed: int) -> None:
    measured(ledger)
    history, most = History(seed), 0
    for _ in range(40):
        has_waited = history.wait(clock)
        ledger.append(MARKET, [history.draw(clock.now)])
        if has_waited:
            ledger.refresh_links(MARKET)
        found = stated(ledger)
        assert found == at_once(ledger)
        most = max(most, len(found))
    assert most
    for name, _ in history.violations:
        ledger.append(MARKET, [status(name, Action.OVERTURN)])
    assert stated(ledger) == set()


def test_what_was_taken_back_leaves_no_trace(ledger: Ledger, clock: Clock) -> None:
    """A victim whose identifier is planted, and a link taken back, leave all terms as they were."""
    measured(ledger)
    for seed in range(8):
        entry = link(f"l{seed}", SELLERS[seed % 5], THINGS[seed % 2], kind=KINDS[seed % 2])
        ledger.append(MARKET, [entry, *([confirmed(f"c{seed}", SELLERS[seed % 5])] if seed % 4 == 0 else [])])
        before = stated(ledger)
        clock.now += 1_000
        name = f"t{seed}"
        ledger.append(MARKET, [link(name, SELLERS[seed % 5], THINGS[seed % 3], kind=KINDS[seed % 3])])
        ledger.append(MARKET, [confirmed(f"v{seed}", SELLERS[(seed + 1) % 5])])
        ledger.append(MARKET, [status(f"v{seed}", Action.OVERTURN), correction(name)])
        assert stated(ledger) == before
