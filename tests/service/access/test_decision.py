from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.decision import EVERY, Grant, GrantList, NeededRight, first_refused, visible_sellers
from service.access.principals import LOCAL, Pattern, Principal
from service.access.rights import BOUND, Right


def allowed(who: Sequence[Principal], given_grants: Sequence[Grant], call: Sequence[NeededRight]) -> bool:
    return first_refused(who, GrantList(given_grants), call) is None


NAMES = ("dns:a.example", "dns:b.example")
IDS = ("m1", "m2")


def names(*known: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from((*known, "*")), max_size=2)


grants = st.builds(
    Grant,
    principals=st.lists(st.sampled_from([Pattern(name) for name in (*NAMES, "dns:*.example")]), max_size=2).map(tuple),
    rights=st.frozensets(st.sampled_from(Right), max_size=4),
    marketplaces=names(*IDS),
    sellers=names("s1", "s2"),
    kinds=names("violation", "exposure"),
    sources=names("customs", "brand"),
    notifiers=names("n1"),
    entry_ids=st.lists(st.sampled_from(["a-", "b-", "*"]), max_size=2).map(tuple),
    actions=names("confirm"),
)
asked = st.builds(
    NeededRight,
    right=st.sampled_from(Right),
    marketplace=st.sampled_from(("", *IDS)),
    seller=st.sampled_from([None, "s1", "s2"]),
    kind=st.sampled_from([None, "violation", "exposure", "*"]),
    source=st.sampled_from([None, "customs", "brand", "*"]),
    notifier=st.sampled_from([None, "n1", "n2", "*"]),
    entry_id=st.sampled_from([None, "a-1", "b-1", "aa", ""]),
    action=st.sampled_from([None, "confirm", "overturn", "*"]),
)
principals = st.builds(
    Principal,
    name=st.sampled_from(NAMES),
    is_bound=st.booleans(),
    marketplaces=st.sampled_from([None, frozenset({"m1"}), EVERY]),
)


@given(st.lists(principals, max_size=2), st.lists(grants, max_size=3), st.lists(asked, min_size=1, max_size=3))
def test_it_is_what_a_plain_reading_of_the_rules_says(
    who: list[Principal], given_grants: list[Grant], call: list[NeededRight]
) -> None:
    assert allowed(who, given_grants, call) == plainly(who, given_grants, call)


def plainly(who: Sequence[Principal], given_grants: Sequence[Grant], call: Sequence[NeededRight]) -> bool:
    answers = []
    for principal in who:
        for one in call:
            found = False
            for grant in given_grants:
                named = any(pattern.matches(principal.name) for pattern in grant.principals)
                limits = [
                    (grant.marketplaces, one.marketplace or None, True),
                    (grant.sellers, one.seller, True),
                    (grant.kinds, one.kind, False),
                    (grant.sources, one.source, False),
                    (grant.notifiers, one.notifier, False),
                    (grant.actions, one.action, False),
                ]
                fits = [
                    ("*" in limit or value in limit) if value is not None else ("*" in limit or not must)
                    for limit, value, must in limits
                ]
                begins = one.entry_id is None or any(
                    prefix == "*" or one.entry_id[: len(prefix)] == prefix for prefix in grant.entry_ids
                )
                found |= named and one.right in grant.rights and all(fits) and begins
            speaks = principal.marketplaces is None or "*" in principal.marketplaces
            speaks = speaks or one.marketplace in (principal.marketplaces or ())
            answers.append(found and speaks)
    is_bound = any(principal.is_bound for principal in who) or not any(one.right in BOUND for one in call)
    return bool(who) and is_bound and all(answers)


@given(
    st.lists(principals, min_size=1, max_size=2), st.lists(grants, max_size=3), st.lists(asked, min_size=1, max_size=3)
)
def test_asking_for_more_never_helps(who: list[Principal], given_grants: list[Grant], call: list[NeededRight]) -> None:
    if allowed(who, given_grants, call):
        assert all(allowed(who, given_grants, [one]) for one in call)
        assert not allowed([], given_grants, call)
        assert not allowed([*who, Principal("dns:c.test", is_bound=True)], given_grants, call)
        assert allowed(who, [*given_grants, Grant((), frozenset(Right), EVERY)], call)


@given(st.lists(grants, max_size=2), st.lists(asked, min_size=1, max_size=2))
def test_local_may_do_everything_and_nobody_nothing(given_grants: list[Grant], call: list[NeededRight]) -> None:
    assert allowed([LOCAL], given_grants, call)
    assert not allowed([], given_grants, call)


def grant_of(asked: NeededRight) -> Grant:
    limits: list[Any] = [frozenset({value}) for value in asked]
    limits[NeededRight._fields.index("entry_id")] = (asked.entry_id,)
    return Grant((Pattern("dns:a.example"),), *limits)


@pytest.mark.parametrize("field", NeededRight._fields)
def test_two_grants_do_not_add_up(field: str) -> None:
    who = Principal("dns:a.example", is_bound=True)
    one = NeededRight(Right.APPEND, "m1", "s1", "violation", "brand", "n1", "a-1", "confirm")
    other = NeededRight(Right.DECIDE, "m2", "s2", "exposure", "customs", "n2", "b-1", "dismiss")
    given_grants = [grant_of(one), grant_of(other)]
    assert allowed([who], given_grants, [one, other])
    assert not allowed([who], given_grants, [one._replace(**{field: getattr(other, field)})])


@given(
    st.lists(principals, max_size=2), st.lists(grants, max_size=3), st.sampled_from(Right), st.sampled_from(("", *IDS))
)
def test_visible_sellers_are_those_that_are_allowed(
    who: list[Principal], given_grants: list[Grant], right: Right, market: str
) -> None:
    visible = visible_sellers(who, GrantList(given_grants), right, market)
    for seller in ("s1", "s2", "s3"):
        assert (seller in visible or "*" in visible) == allowed(who, given_grants, [NeededRight(right, market, seller)])
    assert ("*" in visible) == allowed(who, given_grants, [NeededRight(right, market)])
