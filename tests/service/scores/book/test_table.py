import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.scores.answer import MadeBy
from service.scores.book.table import AnswerTable, RememberedAnswer

ONE, TWO, THREE = "marketplaces/m/sellers/1", "marketplaces/m/sellers/2", "marketplaces/m/sellers/3"


def answer(at: int, model: str = "model", policy: str = "policy", until: int = 100) -> RememberedAnswer:
    return RememberedAnswer(b"", MadeBy(model, policy), at, at + 1, at, until)


def begun(capacity: int = 10, floor: int = 0) -> AnswerTable:
    table = AnswerTable(capacity)
    table.clear(floor)
    return table


def exact(table: AnswerTable, name: str) -> bool:
    found = table.get(name)
    return found is not None and table.is_exact(found)


def test_an_entry_ends_its_sellers_answer_alone() -> None:
    table = begun()
    table.store(ONE, answer(5), table.clear_count)
    table.store(TWO, answer(5), table.clear_count)
    table.mark([(ONE, 6)])
    assert (exact(table, ONE), exact(table, TWO)) == (False, True)
    assert table.get(ONE) is not None
    assert table.dropped == 1


def test_an_answer_overtaken_by_an_entry_is_never_exact() -> None:
    for name, before in ((ONE, True), (TWO, False)):
        table = begun()
        if before:
            table.store(name, answer(3), table.clear_count)
        table.mark([(name, 6)])
        table.store(name, answer(5), table.clear_count)
        assert not exact(table, name)
        assert table.late == 1
        table.store(name, answer(6), table.clear_count)
        assert exact(table, name)


def test_of_two_answers_the_later_stays() -> None:
    table = begun()
    table.store(ONE, newer := answer(7), table.clear_count)
    table.store(ONE, answer(5), table.clear_count)
    assert table.get(ONE) is newer
    table.store(ONE, other := answer(5, model="other"), table.clear_count)
    assert table.get(ONE) is other
    table.store(ONE, another := answer(4, model="other", policy="another"), table.clear_count)
    assert table.get(ONE) is another
    table.store(ONE, tomorrow := answer(3, model="other", policy="another", until=200), table.clear_count)
    assert table.get(ONE) is tomorrow


def test_what_concerns_everybody_ends_every_answer_of_before() -> None:
    table = begun()
    table.store(ONE, answer(5), table.clear_count)
    table.start_epoch(6)
    table.store(TWO, answer(5), table.clear_count)
    table.store(THREE, answer(6), table.clear_count)
    assert (exact(table, ONE), exact(table, TWO), exact(table, THREE)) == (False, False, True)


def test_what_was_computed_of_another_ledger_is_not_kept() -> None:
    table = begun()
    clear_count = table.clear_count
    table.store(ONE, answer(5), clear_count)
    table.clear(3)
    assert len(table) == 0
    table.store(ONE, answer(5), clear_count)
    assert table.get(ONE) is None
    table.store(ONE, answer(2), table.clear_count)
    assert not exact(table, ONE)


def test_the_table_lets_go_of_what_nobody_asks_for() -> None:
    table = begun(capacity=2)
    for name in (ONE, TWO):
        table.store(name, answer(5), table.clear_count)
    found = table.get(ONE)
    assert found is not None
    found.is_used = True
    table.store(THREE, answer(5), table.clear_count)
    assert (len(table), table.evicted) == (2, 1)
    assert [table.get(name) is not None for name in (ONE, TWO, THREE)] == [True, False, True]


def test_what_is_known_of_a_seller_outlives_its_answer() -> None:
    table = begun(capacity=1)
    table.store(ONE, answer(5), table.clear_count)
    table.mark([(ONE, 6)])
    table.store(TWO, answer(6), table.clear_count)
    assert table.get(ONE) is None
    table.store(ONE, answer(5), table.clear_count)
    assert not exact(table, ONE)


NAMES = [f"marketplaces/m/sellers/{number}" for number in range(6)]
STEPS = st.one_of(
    st.tuples(st.just("entry"), st.sampled_from(NAMES)),
    st.tuples(st.just("all"), st.just("")),
    st.tuples(st.just("begin"), st.sampled_from(NAMES)),
    st.tuples(st.just("store"), st.integers(0, 5)),
    st.tuples(st.just("use"), st.sampled_from(NAMES)),
)


@pytest.mark.parametrize("capacity", [1, 2, 4])
@settings(deadline=None)
@given(steps=st.lists(STEPS, max_size=60))
def test_an_exact_answer_holds_every_entry(capacity: int, steps: list[tuple[str, str | int]]) -> None:
    table, sequence = begun(capacity), 0
    newest = dict.fromkeys(NAMES, 0)
    computing: list[tuple[str, RememberedAnswer]] = []
    for what, which in steps:
        if what == "entry":
            sequence += 1
            newest[str(which)] = sequence
            table.mark([(str(which), sequence)])
        elif what == "all":
            sequence += 1
            newest = dict.fromkeys(NAMES, sequence)
            table.start_epoch(sequence)
        elif what == "begin":
            computing.append((str(which), answer(sequence)))
        elif what == "store" and computing:
            name, one = computing.pop(int(which) % len(computing))
            table.store(name, one, table.clear_count)
        elif what == "use" and (found := table.get(str(which))) is not None:
            found.is_used = True
        assert len(table) <= capacity
        for name in NAMES:
            found = table.get(name)
            assert found is None or not table.is_exact(found) or newest[name] <= found.at
