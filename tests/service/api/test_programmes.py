"""Terms of real programmes, as TOML alone, from outside."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from scoring.base.errors import PolicyRefused
from scoring.base.money import format_amount
from sellertrust.client import Client, SellertrustCallError, seller_name
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1.measure_service_pb2 import SuspensionValue
from service.policy.policy_file import parse_policy_text
from tests.helpers.policies import GRADED, TIERS
from tests.helpers.servers import MARKET, exposure, identity, running_server, violation
from tests.helpers.worlds import artifact

RULE = """
[[rules]]
id = "{id}"
reference = "Programme 1"
{condition}
measures = [{measures}]
"""


@contextmanager
def served(tmp_path: Path, rules: str) -> Iterator[Client]:
    policy = tmp_path / "programme.toml"
    policy.write_text(TIERS.read_text(encoding="utf-8").replace("version = 1", 'version = 1\ncurrency = "EUR"') + rules)
    with running_server(tmp_path, artifact=artifact(), policy=policy) as server, server.client() as client:
        yield client


def list_rules(client: Client, seller: str) -> set[str]:
    return {measure.rule for measure in client.evaluate_measures(MARKET, seller).measures}


def sold(name: str, seller: str, days: int = 9, **counts: int) -> entry_pb.Entry:
    entry = exposure(name, seller, 100, days=days)
    for count, value in counts.items():
        setattr(entry.exposure, count, value)
    return entry


def test_amounts_may_be_in_units_of_the_currency() -> None:
    """The same policy in minor units has the same digest."""
    text = GRADED.read_text(encoding="utf-8")
    amounts = re.findall(r"(?<=_minor = )[0-9_]+|(?<=settled = \{ below = )[0-9_]+", text)
    in_units = re.sub(
        r"((?:_minor|settled = \{ below) = )([0-9_]+)",
        lambda found: f'{found[1]}"{format_amount(int(found[2].replace("_", "")), "EUR")}"',
        text,
    )
    assert len(amounts) > 5
    assert in_units.count(' EUR"') >= len(amounts)
    assert parse_policy_text(in_units).digest == parse_policy_text(text).digest
    for wrong in ("100.00", "100", "100.00 USD", "100.0 EUR"):
        with pytest.raises(PolicyRefused, match=rf'not "{wrong}"; write minor units, such as cents, or "100.00 EUR"'):
            parse_policy_text(re.sub(r"amount_minor = [0-9_]+", f'amount_minor = "{wrong}"', text))


def test_an_account_is_closed_until_its_plan_is_accepted(tmp_path: Path) -> None:
    """The person who filed the plan cannot accept it; a further violation closes the account again."""
    rule = RULE.format(
        id="closed", condition="standing = { from = 12 }", measures='{ kind = "suspension", until_plan = true }'
    )

    def state(name: str, seller: str = "s1", **fact: Any) -> None:
        entry = entry_pb.Entry(entry_id=name, seller=seller_name(MARKET, seller), **fact)
        if "measure" in fact:
            entry.occur_time.GetCurrentTime()
        client.append_entries(MARKET, [entry])

    def decide(name: str, complaint: str, actor: str) -> None:
        upheld = entry_pb.COMPLAINT_OUTCOME_UPHELD
        decided = entry_pb.ComplaintDecided(complaint=complaint, outcome=upheld, actor=actor, reason="it helps")
        state(name, complaint_decision=decided)

    def confirm(name: str) -> None:
        client.append_entries(MARKET, [violation(name, "s1", harm=entry_pb.HARM_EXTREME)])
        client.confirm_violation(MARKET, name, actor="staff-1", reason="seen")

    with served(tmp_path, rule) as client:
        client.append_entries(MARKET, [identity("i", "s1"), sold("x", "s1"), identity("i2", "s2")])
        confirm("v1")
        [found] = client.evaluate_measures(MARKET, "s1").measures
        assert found.current.suspension == SuspensionValue(until_plan=True)
        lift = {"measure_kind": found.kind, "state": entry_pb.MEASURE_STATE_LIFTED, "actor": "boss", "reason": "known"}
        for wrong, seller in (("rule~closed~suspension~0", "s1"), (found.measure, "s2")):
            unknown = entry_pb.MeasureChanged(measure=wrong, **lift)
            with pytest.raises(SellertrustCallError, match="no measure 'rule~closed~") as refused:
                state("lift", seller, measure=unknown)
            assert (refused.value.reason, refused.value.code) == ("MEASURE_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
        filed = entry_pb.ComplaintFiled(
            measure=found.measure, reason="We left the supplier.", plan=True, filed_by="agent"
        )
        state("plan", complaint=filed)
        for actor, said in (("agent", "'agent' filed the complaint; another person"), ("staff-1", "decided about")):
            with pytest.raises(SellertrustCallError, match=said) as refused:
                decide("d1", "plan", actor)
            assert refused.value.reason == "CONTEST_FORBIDS"
        assert client.evaluate_measures(MARKET, "s1").terms.suspended
        decide("d1", "plan", "staff-2")
        assert not client.evaluate_measures(MARKET, "s1").terms.suspended
        confirm("v2")
        state("lift", measure=entry_pb.MeasureChanged(measure=found.measure, **lift))
        assert not client.evaluate_measures(MARKET, "s1").terms.suspended
        confirm("v3")
        assert client.evaluate_measures(MARKET, "s1").terms.suspended


def test_a_rate_counts_the_failures_that_it_names(tmp_path: Path) -> None:
    rates = {"late": '["late"]', "unkept": '["late", "cancelled"]', "claims": '["claims"]'}
    rules = "".join(
        RULE.format(
            id=name,
            condition=f"failure_rate = {{ from_ppm = 40_000, days = 30, orders = 100, of = {of} }}",
            measures='{ kind = "search_demotion" }',
        )
        for name, of in rates.items()
    )
    counts = {
        "s1": {"late": 4},
        "s2": {"late": 3, "cancelled": 1, "returned": 9},
        "s3": {"claims": 4},
        "s4": {"late": 3},
    }
    with served(tmp_path, rules) as client:
        client.append_entries(MARKET, [identity(f"i-{name}", name) for name in counts])
        client.append_entries(MARKET, [sold(f"x-{name}", name, **count) for name, count in counts.items()])
        found = {name: list_rules(client, name) for name in counts}
        supposed = client.simulate_trust_score(MARKET, "s4", [sold("y", "s4", 8, late=5)])
        assert [one.rule for one in supposed.simulated_measures.measures] == ["late", "unkept"]
        client.append_entries(MARKET, [sold("y-s1", "s1", 8)])
        later = list_rules(client, "s1")
    assert found == {"s1": {"late", "unkept"}, "s2": {"unkept"}, "s3": {"claims"}, "s4": set()}
    assert later == set()
