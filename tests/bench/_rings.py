"""A simulated market with gangs, honest sharers, hubs and planted identifiers, on a real ledger.

`rings.found`, `rings.false`: percent of gangs with a member's case before its own first violation, and of clean sellers
with one. Cases count from FROM_PERCENT on. `warning_days.median`: from case to violation. `retracted.*`: overturned
violations, and cases left. `evader_gain`: percent that a banned seller's accounts may sell a day beyond one newcomer.

A second ledger has `links`: `recall_s` and `recall_confirmed_s` recall a product there that `recall.sellers` list;
`incremental_ms`: an append that moves links; `rings_ms`: rings after it. `refresh_s`: RefreshLinks. `rings_first_s`: a first
read of rings; `rebuild_s`, `rebuild_mb`: the same by slope for LINKS_OF_ALL.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from resource import getpagesize
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

import numpy as np

from scoring.base.enums import Action, CaseState, LinkKind, LinkState, MeasureKind, MeasureState
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.measures.record import list_links
from scoring.network.links import LinkDecisions
from scoring.network.precision import find_precision
from scoring.policy.rules import Situation
from service.ledger.store import Ledger
from service.policy.policy_file import parse_policy_text
from tests.helpers.builders import MARKET, NOW, PRODUCT_REPORT, Clock, confirmed, link, listing, status
from tests.helpers.policies import TIERS

GANG, AT_ONCE = 5, 1_000
LINKS_OF_ALL = 6_000_000  # of 10 million sellers
FROM_PERCENT = 80
"""The policy's demand on a link."""
KINDS = (LinkKind.BANK_ACCOUNT, LinkKind.DEVICE, LinkKind.ADDRESS)
RIGHT = (0.995, 0.97, 0.8)
"""Share of true links by kind."""
POLICY = (
    'currency = "EUR"\n'
    + TIERS.read_text(encoding="utf-8")
    + """
[[rules]]
id = "everybody"
reference = "terms 1"
measures = [{ kind = "value_cap", value_minor = 10_000, grows = [{ settled_minor = 1, value_minor = 90_000 }] }]
[links]
newcomer_from_percent = 80
"""
)


class Market(NamedTuple):
    ledger: Ledger
    clock: Clock
    chance: random.Random

    def append(self, *entries: Entry) -> None:
        self.ledger.append(MARKET, entries)

    def cases(self, seller: str) -> list[int]:
        stated = self.ledger.measures.read_seller_terms(MARKET, seller, self.ledger.cut()).cases
        return [one.start for one in list_links(stated, self.ledger.cut().observe_time) if one.percent >= FROM_PERCENT]

    def list_touched(self) -> set[str]:
        return {one.seller for one in self.ledger.rings.read(MARKET, self.ledger.cut(), 2, 1).cases}

    def was_warned(self, seller: str) -> int | None:
        stated = self.ledger.measures.read_seller_terms(MARKET, seller, self.ledger.cut()).cases
        opened = [one for one in stated if one.fact.state is CaseState.OPENED]
        return min((one.occur_time for one in opened if one.fact.strength_ppm >= 10_000 * FROM_PERCENT), default=None)


def measure_rings(gangs: int = 60, honest: int = 40_000) -> dict[str, float]:
    with open_market() as market:
        _fill(market, gangs, honest)
        return _bust(market, gangs, honest) | _plant(market) | _evade(market) | _overturn(market)


def measure_large(links: int = 1_000_000, recalled: int = 100_000) -> dict[str, float]:
    with open_market() as market:
        figures = _fill_large(market, links, recalled) | _recall(market)
        return figures | _rebuild(market, links) | _move(market, links)


def _rebuild(market: Market, links: int) -> dict[str, float]:
    before, begin = resident_mb(), perf_counter()
    market.list_touched()
    seconds, megabytes = perf_counter() - begin, resident_mb() - before
    of_all = LINKS_OF_ALL / links
    return {
        "rings_first_s": round(seconds, 2),
        "rebuild_s": round(seconds * of_all),
        "rebuild_mb": round(megabytes * of_all),
    }


@contextmanager
def open_market() -> Iterator[Market]:
    with TemporaryDirectory() as folder:
        clock = Clock(NOW)
        with Ledger.open(f"sqlite:///{Path(folder) / 'ledger.db'}", create=True, clock=clock) as ledger:
            yield Market(ledger, clock, random.Random(2_014))


def _fill_large(market: Market, links: int, recalled: int) -> dict[str, float]:
    seconds = 0.0
    for start in range(0, links, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, links))
        market.clock.now += 1_000
        begin = perf_counter()
        market.append(*(link(f"h-{n}", f"r{n // 2}", f"of-{n % 2}-{n // 4}", kind=KINDS[n % 2]) for n in numbers))
        seconds += perf_counter() - begin
    for start in range(0, recalled, AT_ONCE):
        market.append(*(listing(f"r{n}") for n in range(start, min(start + AT_ONCE, recalled))))
    return {"links": links, "links_per_s": round(links / seconds), "recall.sellers": recalled}


def _recall(market: Market) -> dict[str, float]:
    figures = {}
    for name, one in (("recall_s", PRODUCT_REPORT), ("recall_confirmed_s", status(PRODUCT_REPORT.entry_id))):
        market.clock.now += DAY
        begin = perf_counter()
        market.append(one)
        figures[name] = round(perf_counter() - begin, 2)
    return figures


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * getpagesize() / 2**20


def _move(market: Market, links: int) -> dict[str, float]:
    times: dict[str, list[float]] = {"incremental_ms": [], "rings_ms": []}

    def measure(name: str, act: Callable[[], object]) -> None:
        begin = perf_counter()
        act()
        times[name].append(1_000 * (perf_counter() - begin))

    for bad in range(0, min(links // 2, 400), 2):
        confirmation = [link(f"c-{n}", f"r{n}", f"of-0-{bad // 2}", state=LinkState.CONFIRMED) for n in (bad, bad + 1)]
        for one in (*confirmation, confirmed(f"v-{bad}", f"r{bad}")):
            measure("incremental_ms", partial(market.append, one))
        assert market.cases(f"r{bad + 1}")
        measure("rings_ms", market.list_touched)
    begin = perf_counter()
    market.ledger.refresh_links(MARKET)
    figures = {"refresh_s": round(perf_counter() - begin, 1)}
    for name, of in times.items():
        figures |= {f"{name}.p{part}": round(float(np.percentile(of, part)), 1) for part in (50, 99)}
    return figures


def _fill(market: Market, gangs: int, honest: int) -> None:
    chance, entries = market.chance, list[Entry]()
    for place, (kind, right) in enumerate(zip(KINDS, RIGHT, strict=True)):
        for number in range(1_000):
            state = LinkState.CONFIRMED if chance.random() < right else LinkState.SEVERED
            audited = (f"audited-{place}-{number}", f"audit-{place}-{number}")
            entries += [link(f"{audited[0]}-{s}", *audited, kind=kind, state=s) for s in (LinkState.OBSERVED, state)]
    for gang in range(gangs):
        for member in range(GANG):
            for place, kind in enumerate(KINDS):
                if chance.random() < 0.8:
                    entries.append(
                        link(f"g{gang}-{member}-{place}", f"g{gang}-{member}", f"of-{gang}-{place}", kind=kind)
                    )
    for number in range(honest):
        thing = chance.choice([("hub", 0), (f"own-{number}", 0), (f"flat-{number // 2}", 2), (f"desk-{number}", 1)])
        if chance.random() < 0.002:  # shares with a gang by accident
            thing = (f"of-{chance.randrange(gangs)}-2", 2)
        entries.append(link(f"h{number}-l", f"h{number}", thing[0], kind=KINDS[thing[1]]))
    for start in range(0, len(entries), AT_ONCE):
        market.clock.now += DAY // 100
        market.append(*entries[start : start + AT_ONCE])
    market.ledger.refresh_links(MARKET)


def _bust(market: Market, gangs: int, honest: int) -> dict[str, float]:
    chance, busts, warned, days = market.chance, list[tuple[int, int, int]](), set[int](), list[float]()
    for gang in range(gangs):
        first = chance.randrange(60)
        members = chance.sample(range(GANG), GANG)
        busts += [(first + place * chance.randrange(5, 30), gang, member) for place, member in enumerate(members)]
    start = market.clock.now
    for day, gang, member in sorted(busts):
        market.clock.now = start + day * DAY
        seller = f"g{gang}-{member}"
        since = market.was_warned(seller)
        if since is not None:
            warned.add(gang)
            days.append((market.clock.now - since) / DAY)
        market.append(confirmed(f"v-{seller}", seller, occur_time=NOW))
    among = market.list_touched()
    touched = sum(bool(market.cases(seller)) for seller in among.intersection(f"h{n}" for n in range(honest)))
    upper = find_precision(LinkDecisions(touched, honest - touched))[1]
    return {
        "rings.found": round(100 * len(warned) / gangs, 2),
        "rings.false": round(100 * touched / honest, 3),
        "warning_days.median": round(float(np.median(days)), 1) if days else 0.0,
        "innocent_touched_per_100000": round(100_000 * touched / honest, 1),
        "innocent_touched_per_100000.upper": round(upper / 10, 1),
    }


def _plant(market: Market, victims: int = 50) -> dict[str, float]:
    for number in range(victims):
        bad, thing = f"g0-{number % GANG}", f"victim-{number}"
        planted = link(f"p{number}", bad, thing, verified=number % 2 == 0)
        held = link(f"o{number}", thing, thing)
        for one in (held, planted) if number % 2 == 0 else (planted, held):
            market.clock.now += 1_000
            market.append(one)
    moved = sum(bool(market.cases(f"victim-{number}")) for number in range(victims))
    return {"victims.tried": victims, "victims_moved": moved}


def _evade(market: Market, accounts: int = 4) -> dict[str, float]:
    policy = parse_policy_text(POLICY)
    fact = MeasureChanged("ban", MeasureKind.SUSPENSION, MeasureState.IMPOSED, "a", "b", violations=("v-ban",))
    market.append(confirmed("v-ban", "banned", occur_time=NOW), link("b", "banned", "boss", kind=LinkKind.OWNER))
    market.append(
        link("bc", "banned", "boss", kind=LinkKind.OWNER, state=LinkState.CONFIRMED), Entry("ban", "banned", fact)
    )
    names = [f"evader-{number}" for number in range(accounts)]
    for name in names:
        market.append(link(name, name, "boss", kind=LinkKind.OWNER))
        market.append(link(f"{name}c", name, "boss", kind=LinkKind.OWNER, state=LinkState.CONFIRMED))
    newcomer = dict(policy.rule_book.terms(Situation(None)).value_caps)[""]
    sold = 0
    for name in names:
        stated = market.ledger.measures.read_seller_terms(MARKET, name, market.ledger.cut()).cases
        [held] = list_links(stated, market.ledger.cut().observe_time)
        situation = replace(Situation(None), shared_by=held.fact.accounts)
        sold += dict(policy.rule_book.terms(situation).value_caps)[""]
    return {"evader.accounts": accounts, "evader_gain": round(100 * max(sold - newcomer, 0) / newcomer, 2)}


def _overturn(market: Market) -> dict[str, float]:
    cut = market.ledger.cut()
    violators = market.ledger.links.find_surroundings(MARKET, market.list_touched(), cut, 2).violators
    for one in violators.values():
        market.append(status(one.violation, Action.OVERTURN))
    left = sum(bool(market.cases(seller)) for seller in market.list_touched())
    return {"retracted.tried": len(violators), "retracted.left_traces": left}
