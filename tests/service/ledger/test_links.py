import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text

from scoring.base.enums import Action, CaseState, LinkKind, LinkState, MeasureKind, MeasureState
from scoring.base.errors import InvalidInput, ServerBusy
from scoring.base.time import DAY
from scoring.entries.cases import LINK_RULE, name_case
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import LinkChanged
from scoring.entries.kinds.decisions import CaseChanged, MeasureChanged
from scoring.measures.imposed import ImpositionContext, list_imposed
from scoring.network.terms import MAX_CAUSE_DAYS, find_terms
from scoring.policy.rules import NO_RULES
from service.ledger.database.tables import RowReader
from service.ledger.queries import links as link_queries
from service.ledger.queries.links import LinkViolation, RingQueries
from service.ledger.records import Cut
from service.ledger.store import Ledger
from tests.helpers.answers import fact_rows
from tests.helpers.builders import MARKET, NOW, Clock, confirmed, correction, identity, link, status
from tests.helpers.ledgers import owner
from tests.helpers.limits import Limit

OBSERVED, CONFIRMED, SEVERED = LinkState.OBSERVED, LinkState.CONFIRMED, LinkState.SEVERED


def last_case(ledger: Ledger, seller: str = "late") -> CaseChanged | None:
    terms = ledger.measures.read_seller_terms(MARKET, seller, ledger.cut())
    fact = terms.cases[-1].fact if terms.cases else None
    return None if fact is None or fact.state is CaseState.WITHDRAWN else fact


def linked(ledger: Ledger, *more: Entry) -> None:
    entries = [link("l1", "bad", "iban"), link("l2", "late", "iban"), link("l3", "late", "iban", state=CONFIRMED)]
    ledger.append(MARKET, [*entries, link("l4", "bad", "iban", state=CONFIRMED), *more])


def test_a_link_to_a_confirmed_violator_opens_a_case(ledger: Ledger) -> None:
    linked(ledger)
    assert last_case(ledger) is None
    ledger.append(MARKET, [confirmed("v1", "bad")])
    case = last_case(ledger)
    assert case is not None
    assert case.state is CaseState.OPENED
    assert case.rests_on == ("l2", "l1", "v1")
    assert (case.strength_ppm, case.link_kinds, case.accounts) == (1_000_000, ("bank_account",), 0)
    assert case.caution_end is not None
    assert case.caution_end <= NOW + MAX_CAUSE_DAYS * DAY + 1
    assert last_case(ledger, "bad") is None


@pytest.mark.parametrize(
    "ends",
    [
        [status("v1", Action.OVERTURN)],
        [correction("l2")],
        [correction("l1")],
        [link("l9", "late", "iban", state=SEVERED)],
        [link("l9", "bad", "iban", state=SEVERED)],
    ],
)
def test_a_term_ends_with_its_cause_or_its_path(ledger: Ledger, ends: Sequence[Entry]) -> None:
    linked(ledger, confirmed("v1", "bad"))
    assert last_case(ledger) is not None
    ledger.append(MARKET, ends)
    assert last_case(ledger) is None


def suspension(entry_id: str = "b1", state: MeasureState = MeasureState.IMPOSED, **fields: Any) -> Entry:
    values = {"violations": ("v1",)} | fields
    return Entry(entry_id, "bad", MeasureChanged("ban", MeasureKind.SUSPENSION, state, "staff-7", "r", **values))


LIFTED, SENT = MeasureState.LIFTED, MeasureState.NOTICE_SENT


@pytest.mark.parametrize(
    ("first", "ends", "days"),
    [
        (suspension(), [suspension("b2", LIFTED)], 0),
        (suspension(), [suspension("b2", LIFTED), suspension("b3", SENT, violations=())], 0),
        (suspension(), [correction("b1")], 0),
        (suspension(), [status("v1", Action.OVERTURN)], 0),
        (suspension(days=7), [], 30),
        (suspension(until=NOW + 7 * DAY), [], 30),
    ],
)
def test_a_suspension_counts_as_long_as_it_stands(
    ledger: Ledger, clock: Clock, first: Entry, ends: Sequence[Entry], days: int
) -> None:
    linked(ledger, confirmed("v1", "bad", occur_time=NOW - DAY), confirmed("v2", "bad"), first)
    ledger.append(MARKET, [suspension("n1", SENT, violations=())])
    assert list_accounts(ledger) == [1]
    clock.now += days * DAY
    for one in ends:
        ledger.append(MARKET, [one])
    if days:
        ledger.refresh_links(MARKET)
    assert list_accounts(ledger) == [0]


def list_accounts(ledger: Ledger) -> list[int]:
    cases = {one.fact.case: one.fact for one in ledger.measures.read_seller_terms(MARKET, "late", ledger.cut()).cases}
    return [one.accounts for one in cases.values() if one.state is CaseState.OPENED]


def test_the_erasure_of_one_side_ends_its_links(ledger: Ledger) -> None:
    linked(ledger, confirmed("v1", "bad"))
    ledger.erase(MARKET, "late", actor="officer", entry_id="e1")
    assert last_case(ledger) is None


def test_after_a_withdrawal_the_next_strongest_path_counts(ledger: Ledger) -> None:
    second = [link("m1", "bad", "phone", kind=LinkKind.DEVICE), link("m2", "late", "phone", kind=LinkKind.DEVICE)]
    weaker = [
        link(f"{e.entry_id}c", e.seller, "phone", kind=LinkKind.DEVICE, state=CONFIRMED, strength_ppm=1) for e in second
    ]
    second = [link(e.entry_id, e.seller, "phone", kind=LinkKind.DEVICE, strength_ppm=800_000) for e in second]
    linked(ledger, *second, *weaker, confirmed("v1", "bad"))
    first = last_case(ledger)
    assert first is not None
    assert first.link_kinds == ("bank_account",)
    ledger.append(MARKET, [correction("l2")])
    case = last_case(ledger)
    assert case is not None
    assert (case.link_kinds, case.strength_ppm) == (("device",), 800_000)


def test_kinds_link_nobody_until_their_precision_is_measured(ledger: Ledger) -> None:
    ledger.append(MARKET, [link("l1", "bad", "iban"), link("l2", "late", "iban"), confirmed("v1", "bad")])
    assert last_case(ledger) is None
    known = [link(f"k{n}", f"k{n}", f"other{n}") for n in range(30)]
    decided = [link(f"d{n}", f"k{n}", f"other{n}", state=CONFIRMED) for n in range(30)]
    ledger.append(MARKET, [*known, *decided])
    assert ledger.refresh_links(MARKET).cases == 1
    case = last_case(ledger)
    assert case is not None
    assert 880_000 < case.strength_ppm < 890_000
    assert ledger.refresh_links(MARKET).cases == 0


def test_planting_a_victims_identifier_moves_no_victim(ledger: Ledger) -> None:
    ledger.append(MARKET, [link("v", "victim", "iban"), link("vc", "victim", "iban", state=LinkState.CONTESTED)])
    ledger.append(MARKET, [link("p", "bad", "iban"), link("pc", "bad", "iban", state=CONFIRMED)])
    ledger.append(MARKET, [link("q", "bad", "phone", verified=False), link("qc", "bad", "phone", state=CONFIRMED)])
    ledger.append(MARKET, [link("w", "victim", "phone"), confirmed("v1", "bad")])
    ledger.refresh_links(MARKET)
    assert last_case(ledger, "victim") is None


def test_a_million_of_one_identifier_is_a_hub(ledger: Ledger) -> None:
    crowd = [link(f"c{n}", f"c{n}", "iban") for n in range(300)]
    linked(ledger, *crowd, confirmed("v1", "bad"))
    assert last_case(ledger) is None
    assert last_case(ledger, "c1") is None


def list_rings(ledger: Ledger) -> list[tuple[int, int]]:
    """Return (size, violators) of each ring."""
    found = ledger.rings.read(MARKET, ledger.cut(), 2, 100)
    assert found == RingQueries(ledger.clock).read(MARKET, ledger.cut(), 2, 100)
    assert {ring.sellers for ring in found.rings} == group_by_network(ledger)
    return [(len(ring.sellers), ring.violators) for ring in found.rings]


def group_by_network(ledger: Ledger) -> set[tuple[str, ...]]:
    cut = ledger.cut()
    sellers = {one.entry.seller for one in ledger.entries.list(MARKET, cut, limit=1_000)} - {""}
    graph = ledger.links.find_surroundings(MARKET, sellers, cut, 1).graph
    groups: dict[str, set[str]] = {}
    for seller in graph.links:
        for hop in graph.hops(seller, least_ppm=0):
            joined = groups.get(seller, {seller}) | groups.get(hop.to, {hop.to})
            groups |= dict.fromkeys(joined, joined)
    return {tuple(sorted(group)) for group in groups.values()}


@pytest.mark.parametrize("seed", range(3))
def test_rings_join_whom_the_network_links(ledger: Ledger, clock: Clock, seed: int) -> None:
    chance = random.Random(seed)
    ledger.append(MARKET, [link(f"c{n}", f"c{n}", "iban", verified=n < 3) for n in range(18)])
    has_many = set()
    for step in range(40):
        clock.now += chance.choice([1_000, DAY // 2])
        seller, other = chance.sample(SELLERS, 2)
        fields: dict[str, Any] = {"kind": chance.choice(KINDS), "verified": chance.random() < 0.5}
        fields |= {"state": chance.choice([OBSERVED, OBSERVED, OBSERVED, CONFIRMED, SEVERED])}
        fields |= {"other": other if chance.random() < 0.1 else "", "until": chance.choice([None, clock.now + DAY])}
        ledger.append(MARKET, [link(f"e{step}", seller, chance.choice(THINGS[:2]), **fields)])
        has_many.add(any(size > 2 for size, _ in list_rings(ledger)))
    assert has_many == {False, True}


def test_many_unverified_statements_make_a_hub_of_a_ring(ledger: Ledger) -> None:
    ledger.append(MARKET, [link("a", "a", "iban"), link("b", "b", "iban")])
    for number in range(57):
        ledger.append(MARKET, [link(f"u{number}", "c", "iban", verified=False)])
    assert list_rings(ledger) == [(2, 0)]
    ledger.append(MARKET, [link("u57", "c", "iban", verified=False)])
    assert list_rings(ledger) == []


def test_rings_follow_each_change_as_if_read_anew(ledger: Ledger, clock: Clock) -> None:
    crowd = [link(f"c{n}", f"c{n}", "iban") for n in range(18)]
    steps: list[tuple[list[Entry], list[tuple[int, int]]]] = [
        ([link("a", "a", "iban"), link("b", "b", "iban"), confirmed("v1", "stranger")], [(2, 0)]),
        ([link("p", "p", "phone"), link("q", "q", "phone"), confirmed("v2", "a")], [(2, 1), (2, 0)]),
        ([link("x", "q", "", other="b", until=clock.now + DAY)], [(4, 1)]),
        (crowd, [(22, 1)]),
        ([link("hub", "h", "iban")], [(3, 0)]),
        ([link("off", "h", "iban", state=SEVERED)], [(22, 1)]),
        ([correction("c3"), status("v2", Action.OVERTURN)], [(21, 0)]),
        ([link("l", "l", "van", kind=LinkKind.LOGISTICS), link("u", "u", "phone", verified=False)], [(21, 0)]),
    ]
    for entries, sizes in steps:
        ledger.append(MARKET, entries)
        assert list_rings(ledger) == sizes
    clock.now += DAY
    assert list_rings(ledger) == [(19, 0), (2, 0)]
    ledger.append(MARKET, [confirmed("v3", "p"), identity("i1", "new")])
    ledger.erase(MARKET, "q", actor="officer", entry_id="e1")
    assert list_rings(ledger) == [(19, 0)]


def test_rings_of_a_ledger_that_lost_entries_are_read_anew(ledger: Ledger, url: str) -> None:
    """The entry that is appended again at the same place looks as if nothing was lost."""
    retried = link("z", "z", "other")
    for entry in (link("a", "a", "iban"), link("b", "b", "iban"), retried):
        ledger.append(MARKET, [entry])
    assert list_rings(ledger) == [(2, 0)]
    last = ledger.last().sequence
    with owner(url) as connection:
        connection.execute(text("DELETE FROM seal WHERE last_sequence >= :n"), {"n": last - 1})
        connection.execute(text("DELETE FROM entry WHERE sequence >= :n"), {"n": last - 1})
        connection.commit()
    for entry in (link("y", "y", "other"), retried):
        ledger.append(MARKET, [entry])
    assert ledger.last().sequence == last
    assert list_rings(ledger) == [(2, 0)]


def test_a_second_reader_does_not_wait_for_the_first(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, limit: Limit
) -> None:
    limit(link_queries, WAIT_SECONDS=0.01)
    started, goes_on = Event(), Event()

    def wait(*_: object) -> None:
        started.set()
        goes_on.wait(60)

    monkeypatch.setattr(link_queries, "read_established", wait)
    ledger.append(MARKET, [confirmed("v1", "bad")])
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ledger.rings.read, MARKET, ledger.cut(), 2, 1)
        assert started.wait(60)
        with pytest.raises(ServerBusy):
            ledger.rings.read(MARKET, ledger.cut(), 2, 1)
        goes_on.set()
        assert isinstance(first.exception(), TypeError)
    monkeypatch.undo()
    assert ledger.rings.read(MARKET, ledger.cut(), 2, 1).sellers == 1


def test_a_first_read_keeps_no_other_marketplace(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    started, goes_on, read = Event(), Event(), link_queries.read_established

    def wait(reader: RowReader, sellers: Sequence[str]) -> dict[str, list[LinkViolation]]:
        if reader.marketplace == MARKET:
            started.set()
            goes_on.wait(60)
        return read(reader, sellers)

    for marketplace in (MARKET, "known", "unread"):
        ledger.append(marketplace, [confirmed("v1", "bad")])
    ledger.rings.read("known", ledger.cut(), 2, 1)
    monkeypatch.setattr(link_queries, "read_established", wait)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ledger.rings.read, MARKET, ledger.cut(), 2, 1)
        assert started.wait(60)
        limit(link_queries, WAIT_SECONDS=0.01)
        assert ledger.rings.read("known", ledger.cut(), 2, 1).sellers == 1
        limit(link_queries, WAIT_SECONDS=120)
        with pytest.raises(ServerBusy):
            ledger.rings.read("unread", ledger.cut(), 2, 1)
        goes_on.set()
        assert first.result().sellers == 1
    assert ledger.rings.read("unread", ledger.cut(), 2, 1).sellers == 1


def test_the_term_returns_when_a_hub_ends(ledger: Ledger) -> None:
    crowd = [link(f"c{n}", f"c{n}", "iban") for n in range(19)]
    linked(ledger, *crowd, confirmed("v1", "bad"))
    assert last_case(ledger) is None
    ledger.append(MARKET, [correction("c3")])
    assert last_case(ledger) is not None


def test_a_person_ends_a_case_of_a_link(ledger: Ledger) -> None:
    linked(ledger, confirmed("v1", "bad"), identity("i1", "late"))
    opened = last_case(ledger)
    assert opened is not None
    ended = CaseChanged(opened.case, CaseState.ENDED, "analyst", "an accountant of both")
    ledger.append(MARKET, [Entry("e1", "late", ended)])
    ledger.append(MARKET, [link("l7", "bad", "phone")])
    ledger.refresh_links(MARKET)
    case = last_case(ledger)
    assert case is not None
    assert case.state is CaseState.ENDED


def related(seller: str, other: str) -> list[Entry]:
    return [link(f"{seller}-{state.name}", seller, "", other=other, state=state) for state in (OBSERVED, CONFIRMED)]


def test_a_cycle_of_links_leads_back_to_nobody(ledger: Ledger) -> None:
    ledger.append(MARKET, [*related("a", "b"), *related("b", "c"), *related("c", "a"), confirmed("v1", "a")])
    cases = {name: last_case(ledger, name) for name in "abc"}
    assert cases["a"] is None
    assert [case and len(case.link_kinds) for case in cases.values()] == [None, 2, 1]
    ledger.append(MARKET, [status("v1", Action.OVERTURN)])
    assert [last_case(ledger, name) for name in "abc"] == [None, None, None]


def test_two_batches_at_once_may_name_each_others_sellers(ledger: Ledger) -> None:
    batches = [[*related(one, other), confirmed(f"v-{one}", one)] for one, other in (("a", "b"), ("b", "a"))]
    with ThreadPoolExecutor(2) as pool:
        assert len([*pool.map(lambda batch: ledger.append(MARKET, batch), batches)]) == 2
    causes = [case and case.rests_on[-1] for case in (last_case(ledger, "a"), last_case(ledger, "b"))]
    assert causes == ["v-b", "v-a"]
    ledger.append(MARKET, [status("v-a", Action.OVERTURN)])
    assert last_case(ledger, "a") is not None
    assert last_case(ledger, "b") is None


@pytest.mark.parametrize("days", [30, MAX_CAUSE_DAYS + 1])
def test_a_link_withdrawn_later_ends_a_case_that_still_runs(ledger: Ledger, clock: Clock, days: int) -> None:
    linked(ledger, confirmed("v1", "bad"))
    clock.now += days * DAY
    ledger.append(MARKET, [correction("l2")])
    stated = [one.fact.state for one in ledger.measures.read_seller_terms(MARKET, "late", ledger.cut()).cases]
    assert stated == [CaseState.OPENED, *([CaseState.WITHDRAWN] if days < MAX_CAUSE_DAYS else [])]
    assert ledger.refresh_links(MARKET).cases == 0


@pytest.mark.parametrize(
    ("fact", "field"),
    [
        ({"other": "late"}, "entries[0].link.other"),
        ({"other": "", "identifier": ""}, "entries[0].link.other"),
        ({"identifier": "DE89370400440532013000"}, "entries[0].link.identifier"),
        ({"identifier": "someone@example.org"}, "entries[0].link.identifier"),
        ({"other": "s9", "basis": "DE89370400440532013000"}, "entries[0].link.basis"),
        ({"other": "marketplaces/other/sellers/s9"}, "entries[0].link.other"),
        ({"other": "s9", "until": NOW - 1}, "entries[0].link.until"),
        ({"identifier": "0" * 64, "link_kind": None}, "entries[0].link.link_kind"),
        ({"other": "s9", "strength_ppm": 1_000_001}, "entries[0].link.strength_ppm"),
    ],
)
def test_wrong_links_are_refused_by_field(ledger: Ledger, fact: dict[str, object], field: str) -> None:
    values = {"state": LinkState.OBSERVED, "basis": "shared", "actor": "a", "reason": "r"}
    stated = LinkChanged(**{**values, "link_kind": LinkKind.BANK_ACCOUNT, **fact})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput) as caught:
        ledger.append(MARKET, [Entry("l1", "late", stated)])
    assert field in [one.field for one in caught.value.violations]


def test_links_dated_ahead_or_far_back_are_refused(ledger: Ledger, clock: Clock) -> None:
    for time in (clock.now + DAY, clock.now - 2_000 * DAY):
        with pytest.raises(InvalidInput):
            ledger.append(MARKET, [link("l1", "late", "iban", occur_time=time)])


def test_only_the_ledger_states_cases_of_links(ledger: Ledger) -> None:
    linked(ledger, confirmed("v1", "bad"))
    case = last_case(ledger)
    assert case is not None
    forged = CaseChanged(case.case, CaseState.OPENED, "a", "b", strength_ppm=1_000_000, link_kinds=("device",))
    with pytest.raises(InvalidInput):
        ledger.append(MARKET, [Entry("f1", "late", forged)])


def test_a_ledger_without_links_gets_no_case(ledger: Ledger) -> None:
    ledger.append(MARKET, [confirmed("v1", "bad"), identity("i1", "late")])
    assert ledger.last()[0] == 2


SELLERS = [f"s{n}" for n in range(5)]
THINGS = ("iban", "phone", "flat")
KINDS = (LinkKind.BANK_ACCOUNT, LinkKind.DEVICE, LinkKind.LOGISTICS)
Terms = set[tuple[str, str, int, tuple[str, ...], int, int, int]]


class History:
    """Random entries; each kind can be taken back."""

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
                verified = self._count % 5 > 0
                return link(name, seller, THINGS[place], kind=KINDS[place], strength_ppm=strength, verified=verified)

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
    whole = ledger.links.find_surroundings(MARKET, SELLERS, cut, 1)
    found = whole.violators.items()
    violators = {seller: one._replace(is_suspended=is_suspended(ledger, seller, cut)) for seller, one in found}
    terms = find_terms(SELLERS, whole.graph, violators, cut.observe_time)
    return {
        (one.seller, name_case(LINK_RULE, one.cause), one.strength_ppm, one.entries, one.accounts, one.start, one.until)
        for one in terms
    }


def measured(ledger: Ledger) -> None:
    for kind in KINDS[:2]:
        entries = [link(f"{kind}-{n}", f"k{n}", f"known{kind}", kind=kind) for n in range(50)]
        ledger.append(MARKET, entries)
        states = [
            link(f"{kind}-{n}c", f"k{n}", f"known{kind}", kind=kind, state=LinkState.CONFIRMED) for n in range(50)
        ]
        ledger.append(MARKET, states)
    ledger.refresh_links(MARKET)


@pytest.mark.long
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
        list_rings(ledger)
        most = max(most, len(found))
    assert most
    for name, _ in history.violations:
        ledger.append(MARKET, [status(name, Action.OVERTURN)])
    assert stated(ledger) == set()


@pytest.mark.long
def test_what_was_taken_back_leaves_no_trace(ledger: Ledger, clock: Clock) -> None:
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
