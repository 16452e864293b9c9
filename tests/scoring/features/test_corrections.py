from hypothesis import given
from hypothesis import strategies as st

from scoring.features.corrections import find_merged_incident

CHAIN = 400
Merges = dict[tuple[str, int], int]


class Counted(Merges):
    looks = 0

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)


def naive_root(into: Merges, case: str, name: int) -> int:
    while (case, name) in into:
        name = into[case, name]
    return name


def merged(pairs: list[tuple[int, int]], find: object, into: Merges) -> Merges:
    for one, other in pairs:
        a, b = find(into, "s", one), find(into, "s", other)  # type: ignore[operator]
        if a != b:
            into["s", a] = b
    return into


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=40))
def test_every_incident_ends_where_its_merges_lead_step_by_step(pairs: list[tuple[int, int]]) -> None:
    naive, compressed = merged(pairs, naive_root, {}), merged(pairs, find_merged_incident, {})
    assert [find_merged_incident(compressed, "s", name) for name in range(16)] == [
        naive_root(naive, "s", n) for n in range(16)
    ]
    assert [find_merged_incident(compressed, "s", name) for name in range(16)] == [
        naive_root(naive, "s", n) for n in range(16)
    ]
    assert find_merged_incident(compressed, "another", 3) == 3


def test_a_chain_of_merges_costs_as_much_as_it_is_long() -> None:
    into = Counted()
    merged([(n, n + 1) for n in range(CHAIN)], find_merged_incident, into)
    assert {find_merged_incident(into, "s", name) for name in range(CHAIN + 1)} == {CHAIN}
    assert into.looks < 10 * CHAIN
