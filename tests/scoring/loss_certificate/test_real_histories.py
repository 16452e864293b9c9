from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Kind, Status
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.features.resolved import resolve_sellers
from scoring.loss_certificate.states import build_states
from scoring.policy.policy import Policy
from scoring.scores.settled_value import add_up_settled
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions
from tests.helpers.answers import evaluate_measures, with_values
from tests.helpers.worlds import NOW, artifact, numbered, sellers, status
from tests.scoring.loss_certificate.attackers import is_paid_sooner
from tests.scoring.loss_certificate.lives import cap_of
from tests.scoring.loss_certificate.toys import policy_of, shipped_data

POLICIES = [policy_of(shipped_data(name)) for name in ("general", "graded", "ladder")]
STATES = [build_states(policy, read_assumptions(SHIPPED_ASSUMPTIONS)) for policy in POLICIES]
JOINED = 600


def settled_of(rows: list[FactRow], moment: int, values: dict[str, int], policy: Policy) -> int:
    currency = policy.rule_book.currency
    known = resolve_sellers(["s"], with_values(rows, ["s"], values, currency), moment)
    return int(add_up_settled(known.view().facts, known.table, currency)[""][0])


def is_laxer(policy: Policy, place: int, rows: list[FactRow], values: dict[str, int], age: int) -> bool:
    moment, ordered = NOW - age * DAY, numbered(rows)
    known = [row for row in ordered if row.report_time < moment]
    found = evaluate_measures(known, "s", moment, artifact(), policy, "acme", values)
    if found is None:
        return False
    states = STATES[place]
    bucket = bisect_right(states.settled, settled_of(known, moment, values, policy)) - 1
    granted = states.granted[bucket][bisect_right(states.tenure, JOINED - age) - 1]
    terms = found.terms_at_capture
    return (
        cap_of(terms) > granted.cap_minor
        or terms.deposit_minor < granted.deposit_minor
        or is_paid_sooner(terms, granted)
        or terms.reserve_ppm < granted.release.reserve_ppm
        or terms.reserve_days < granted.release.reserve_days
    )


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(sellers(), st.lists(st.integers(0, 10**10), min_size=1, max_size=8), st.integers(0, 550), st.data())
def test_no_recorded_seller_has_laxer_terms_than_its_state(
    rows: list[FactRow], amounts: list[int], age: int, data: st.DataObject
) -> None:
    reported = [row.entry_id for row in rows if row.kind is Kind.VIOLATION and row.status == Status.CONFIRMED]
    chosen = data.draw(st.lists(st.sampled_from(reported), unique=True)) if reported else []
    rows = [*rows, *(status(f"o-{name}", name, Status.OVERTURNED) for name in chosen)]
    sold = [row.entry_id for row in rows if row.kind is Kind.EXPOSURE]
    values = {name: amounts[number % len(amounts)] for number, name in enumerate(sold)}
    assert not any(is_laxer(policy, place, rows, values, age) for place, policy in enumerate(POLICIES))
