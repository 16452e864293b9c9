from contextlib import closing
from itertools import product

import pytest
from sqlalchemy import Select, text

from scoring.base.errors import ExposureRevisionTaken, ViolationNotFound
from service.ledger.append import accounts, appending, following, known
from service.ledger.clock.mending import Mending, Mendings, find_last_before
from service.ledger.database.database import Database
from service.ledger.queries import entries, facts
from service.ledger.queries.facts import FactQueries
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, NOW, TODAY, exposure, identity, status, violation
from tests.helpers.ledgers import find_violation
from tests.helpers.plans import FAULTS, listening
from tests.helpers.rows import insert_entries

ENTRIES = 50_000
_VALUES = {"most": 7, "after": 0, "kind": 12}


@pytest.fixture(params=["never analysed", "analysed"])
def full_url(url: str, request: pytest.FixtureRequest) -> str:
    place = Database(url)
    with closing(place), place.write() as connection:
        insert_entries(connection, ENTRIES, small=MARKET)
        if request.param == "analysed":
            connection.execute(text("ANALYZE"))
    return url


def ask_everything(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("w1"), status("w1"), exposure(TODAY - 3), identity("w2")])
    with pytest.raises(ExposureRevisionTaken):
        ledger.append(MARKET, [exposure(TODAY - 3, entry_id="again")])
    cut = ledger.cut(known_time=ledger.last()[1])
    for sellers in (None, ["s1"]):
        ledger.entries.list(MARKET, cut, sellers=sellers, after_sequence=17)
        ledger.violations.list(MARKET, ledger.cut(), sellers=sellers, after_sequence=17)
    ledger.violations.list(MARKET, ledger.cut(), notifier="brand-7", after_sequence=17)
    ledger.entries.list_undecided_complaints(MARKET, cut, 7)
    find_violation(ledger, "w1")
    ledger.facts.count(MARKET, ["s1", "s2"])
    ledger.sellers.list(MARKET, "s1", 3)
    ledger.append(MARKET, [violation(f"w{n}", incident=f"w{n}") for n in range(3, 9)])
    FactQueries(ledger.clock, 2).table(MARKET, ["s1"], ledger.cut())
    for with_before in (False, True):
        ledger.measures.flows(MARKET, ["s1"], ledger.cut(), TODAY - 60, with_before=with_before)
    for sellers, currencies in product((["s1"], ["s1", "s2"]), ([], ["EUR"])):
        ledger.facts.table(MARKET, sellers, ledger.cut(), currencies)
    list(ledger.entries.export(MARKET, ledger.cut()))
    ledger.seals.last()


def test_every_query_walks_along_an_index(full_url: str, backend: str) -> None:
    with Ledger.open(full_url) as ledger:
        with listening() as asked:
            ask_everything(ledger)
        queries = {sql: values for sql, values in asked if sql.startswith(("SELECT", "WITH")) and "FROM entry" in sql}
        assert len(queries) >= 12
        with ledger.database.read() as connection:
            for sql, values in queries.items():
                faults, plan = FAULTS[backend](connection, sql, values)
                assert faults == [], (sql, plan)


def test_a_score_walks_along_the_index_of_what_counts_alone(full_url: str, backend: str) -> None:
    with Ledger.open(full_url) as ledger:
        cut = ledger.cut()
        with listening() as asked:
            ledger.facts.table(MARKET, ["s1", "s2"], cut)
            ledger.facts.count(MARKET, ["s1"])
        asked = [(sql, values) for sql, values in asked if "FROM entry" in sql]
        with ledger.database.read() as connection:
            rows, _, counts = (str(FAULTS[backend](connection, sql, values)[1]) for sql, values in asked)
    assert "entry_counting" in rows
    assert "entry_counting" in counts
    assert backend == "postgresql" or "COVERING INDEX" in counts


def test_a_page_of_some_sellers_is_one_query_along_their_index(full_url: str, backend: str) -> None:
    with Ledger.open(full_url) as ledger:
        cut = ledger.cut()
        with listening() as asked:
            assert ledger.entries.list(MARKET, cut, sellers=["s1", "s2"], after_sequence=17)
        pages = [(sql, values) for sql, values in asked if "ORDER BY" in sql]
        assert len(pages) == 1
        with ledger.database.read() as connection:
            assert "entry_of_seller" in str(FAULTS[backend](connection, *pages[0])[1])


def test_anothers_violation_is_sought_as_a_missing_one(full_url: str) -> None:
    """More queries would tell by their time that it exists."""
    with Ledger.open(full_url) as ledger:
        ledger.append(MARKET, [violation("w1"), identity("w2")])
        cut = ledger.cut()
        queries = []
        for name in ("w1", "none"):
            with listening() as asked, pytest.raises(ViolationNotFound):
                ledger.violations.find(MARKET, name, cut, "s2")
            queries.append([sql for sql, _ in asked])
    assert queries[0] == queries[1] != []


def test_a_time_before_a_mending_is_sought_once(full_url: str) -> None:
    """A search among later entries alone would walk along every entry before them."""
    with Ledger.open(full_url) as ledger, ledger.database.read() as connection:
        times = dict(map(tuple, connection.execute(text("SELECT sequence, record_time FROM entry"))))
        middle, last = ENTRIES // 2, max(times)
        mended = Mending(last - 9, last - 1, 5, NOW, (times[last - 9], times[last - 1]))
        with listening() as asked:
            found = find_last_before(connection, Mendings(last, (mended,)), times[middle])
    assert found == (middle - 1, times[middle - 1])
    assert sum("record_time <" in sql for sql, _ in asked) == 1


def test_every_look_up_of_an_append_uses_an_index(full_url: str, backend: str) -> None:
    modules = (accounts, appending, following, known, entries, facts)
    named = [item for module in modules for item in vars(module).items()]
    # This one walks along the entries since the last look, of every kind.
    statements = [found for name, found in named if isinstance(found, Select) and name != "_ON_COMPLAINTS"]
    planned = 0
    with closing(Database(full_url)) as place, place.read() as connection:
        for statement in statements:
            compiled = statement.compile(dialect=connection.dialect)
            if "marketplace" not in compiled.params:
                continue
            values = (
                compiled.params
                if backend == "postgresql"
                else tuple(_VALUES.get(name, "[]") for name in compiled.positiontup or ())
            )
            faults, plan = FAULTS[backend](connection, str(compiled), values)
            assert faults == [], (str(compiled), plan)
            planned += 1
    assert planned >= 8
