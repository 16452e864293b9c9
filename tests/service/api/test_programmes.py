"""Terms of real programmes, as TOML alone, from outside."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scoring.base.errors import PolicyRefused
from scoring.base.money import format_amount
from sellertrust.client import Client, seller_name
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1.measure_service_pb2 import SuspensionValue
from service.policy.policy_file import parse_policy_text, read_policy
from tests.helpers.policies import GRADED, TIERS
from tests.helpers.refusals import refusal, refused
from tests.helpers.servers import MARKET, exposure, identity, running_server, violation
from tests.helpers.shells import shell_of
from tests.helpers.worlds import artifact

RULE = """
[[rules]]
id = "{id}"
reference = "Programme 1"
{condition}
measures = [{measures}]
"""


def programme(rules: str = "", table: str = "[standing]") -> str:
    text = TIERS.read_text(encoding="utf-8").replace("version = 1", 'version = 1\ncurrency = "EUR"')
    return text.replace("[standing]", table) + rules


@contextmanager
def served(tmp_path: Path, rules: str, table: str = "[standing]") -> Iterator[Client]:
    policy = tmp_path / "programme.toml"
    policy.write_text(programme(rules, table))
    with running_server(tmp_path, artifact=artifact(), policy=policy) as server, server.client() as client:
        yield client


def test_a_programme_has_nine_named_tiers(tmp_path: Path) -> None:
    names = ("clay", "iron", "tin", "bronze", "silver", "gold", "jade", "ruby", "opal")
    starts = [0, *tomllib.loads(TIERS.read_text(encoding="utf-8"))["cut_offs"].values()]
    starts = sorted([*starts, *(start + 1 for start in starts), 1000])
    rows = [*zip(names, starts, strict=True)]
    bands = "".join(f'[[cut_offs.bands]]\nname = "{name}"\nfrom = {start}\n' for name, start in rows)
    with served(tmp_path, bands) as client:
        client.append_entries(MARKET, [identity("i", "s"), sold("x", "s", settled_orders=5_000), identity("j", "new")])
        score = client.get_trust_score(MARKET, "s")
        band = [name for name, start in rows if start <= score.tier_points][-1]
        assert (score.band, client.get_trust_score(MARKET, "new").band) == (band, "")
        shell = shell_of(tmp_path / "shell", target=client.target)
        assert f"({band})" in shell("score", "s")[0]
        assert f"({band}), badge" in shell("score", "s", "--explain")[0]


def list_rules(client: Client, seller: str) -> set[str]:
    return {measure.rule for measure in client.evaluate_measures(MARKET, seller).measures}


def sold(name: str, seller: str, days: int = 9, **counts: int) -> entry_pb.Entry:
    entry = exposure(name, seller, 100, days=days)
    for count, value in counts.items():
        setattr(entry.exposure, count, value)
    return entry


def test_amounts_may_be_in_units_of_the_currency() -> None:
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
    stated = '{ kind = "suspension", until_plan = true }, { kind = "intake_cap", new_listings = 0 }'
    rule = RULE.format(id="closed", condition="standing = { from = 12 }", measures=stated)

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
        found, _ = client.evaluate_measures(MARKET, "s1").measures
        assert found.current.suspension == SuspensionValue(until_plan=True)
        lift = {"measure_kind": found.kind, "state": entry_pb.MEASURE_STATE_LIFTED, "actor": "boss", "reason": "known"}
        for wrong, seller in (("rule~closed~suspension~0", "s1"), (found.measure, "s2")):
            unknown = entry_pb.MeasureChanged(measure=wrong, **lift)
            error = refused("NOT_FOUND", "MEASURE_NOT_FOUND", state, "lift", seller, measure=unknown)
            assert "no measure 'rule~closed~" in str(error)
        filed = entry_pb.ComplaintFiled(
            measure=found.measure, reason="We left the supplier.", plan=True, filed_by="agent"
        )
        state("plan", complaint=filed)
        for actor, said in (("agent", "'agent' filed the complaint; another person"), ("staff-1", "decided about")):
            error = refusal(decide, "d1", "plan", actor)
            assert (error.reason, said in str(error)) == ("CONTEST_FORBIDS", True)
        assert client.evaluate_measures(MARKET, "s1").terms.suspended
        decide("d1", "plan", "staff-2")
        accepted = client.evaluate_measures(MARKET, "s1")
        assert (accepted.terms.suspended, len(accepted.terms.intake_caps)) == (False, 1)
        assert [measure.kind for measure in accepted.measures if measure.lifted] == [found.kind]
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


def test_a_preview_counts_the_sellers_whom_a_server_finds(tmp_path: Path) -> None:
    reset = datetime.now(UTC) - timedelta(days=9)
    while (reset.month, reset.day) == (2, 29):
        reset -= timedelta(days=1)
    stated = (
        ("late", 'failure_rate = { from_ppm = 40_000, days = 30, orders = 100, of = ["late"] }', '"manual_review"'),
        ("earning", "standing = { from = 12 }\ngood_orders = { below = 500 }", '"campaign_exclusion"'),
        ("plan", "standing = { from = 12 }", '"suspension", until_plan = true'),
        ("goods", 'standing = { from = 12, categories = ["counterfeit"] }', '"search_demotion"'),
    )
    rules = [RULE.format(id=name, condition=asked, measures=f"{{ kind = {kind} }}") for name, asked, kind in stated]
    expected = {
        "failing": {"late"},
        "before": set[str](),
        "guilty": {"earning", "plan", "goods"},
        "unsafe": {"earning", "plan"},
        "earned": {"plan", "goods"},
        "reformed": {"plan", "goods"},
    }
    with served(tmp_path, "".join(rules), f'[standing]\nreset = "{reset:%m-%d}"') as client:
        client.append_entries(MARKET, [identity(f"i-{name}", name) for name in expected])
        client.append_entries(MARKET, [sold("x", "failing", late=4)])
        for name, days, orders, of in (
            ("before", 30, 1, "counterfeit_goods"),
            ("guilty", 5, 499, "counterfeit_goods"),
            ("unsafe", 5, 1, "unsafe_product"),
            ("earned", 5, 500, "counterfeit_goods"),
            ("reformed", 5, 500, "counterfeit_goods"),
        ):
            reported = violation(f"v-{name}", name, harm=entry_pb.HARM_EXTREME, violation_type=of)
            reported.occur_time.FromDatetime(datetime.now(UTC) - timedelta(days=days))
            client.append_entries(MARKET, [reported, exposure(f"y-{name}", name, orders, days=3)])
            client.confirm_violation(MARKET, f"v-{name}", actor="staff-1", reason="seen")
        assert {name: list_rules(client, name) for name in expected} == expected
        [closed] = [one for one in client.evaluate_measures(MARKET, "reformed").measures if one.rule == "plan"]
        filed = entry_pb.ComplaintFiled(measure=closed.measure, reason="We left.", plan=True, filed_by="agent")
        upheld = entry_pb.COMPLAINT_OUTCOME_UPHELD
        accepted = entry_pb.ComplaintDecided(complaint="c", outcome=upheld, actor="staff-2", reason="it helps")
        seller = seller_name(MARKET, "reformed")
        client.append_entries(MARKET, [entry_pb.Entry(entry_id="c", seller=seller, complaint=filed)])
        client.append_entries(MARKET, [entry_pb.Entry(entry_id="d", seller=seller, complaint_decision=accepted)])
        found = shell_of(tmp_path).json("policy", "preview", tmp_path / "programme.toml", "--against", TIERS)
    counted = Counter(rule for rules_of in expected.values() for rule in rules_of)
    assert {row["rule"]: row["sellers"] for row in found["rules"]} == counted
    assert {row["change"]: row["sellers"] for row in found["changes"]} == {
        "manual_review false -> true": 1,
        "campaign_exclusion false -> true": 2,
        "search_demotion false -> true": 3,
        "suspension_days 0 -> until a plan is accepted": 3,
    }


def rated(orders: int) -> str:
    asked = f"failure_rate = {{ from_ppm = 9, days = 30, orders = {orders} }}"
    return RULE.format(id="rate", condition=asked, measures='{ kind = "manual_review" }')


def laddered(name: str, band: str, days: int, category: str = "counterfeit") -> str:
    asked = f'standing = {{ {band}, categories = ["{category}"] }}'
    return RULE.format(id=name, condition=asked, measures=f'{{ kind = "suspension", days = {days} }}')


FOREIGN = RULE.format(id="a", condition="", measures='{ kind = "deposit", amount_minor = "3.00 USD" }')
BAD_POLICIES: dict[str, tuple[dict[str, str], str, str]] = {
    "a rate over nothing settled": (
        {},
        rated(0),
        "rules[rate].failure_rate.orders must be a whole number, 1 to 1,000,000, not 0",
    ),
    "a category of no violation": (
        {},
        laddered("a", "from = 9", 7, "toys"),
        "rules[a].standing.categories must be a list of one or more of counterfeit, ip, safety, quality, restricted",
    ),
    "ladders that contradict": (
        {},
        laddered("a", "from = 12, below = 24", 30) + laddered("b", "from = 24", 7),
        "rules are laxer for who is worse: suspension_days is 7 with",
    ),
    "a limit in a foreign currency": (
        {},
        FOREIGN,
        'not "3.00 USD"; write minor units, such as cents, or "100.00 EUR" in the policy\'s currency',
    ),
    "a reset on no day": (
        {"[standing]": '[standing]\nreset = "02-30"'},
        "",
        'standing.reset must be a day of each year, such as "01-01", not "02-30"',
    ),
    "a tier name that is taken": (
        {'exemplary = "exemplary"': 'exemplary = "a"\nexemplary = "b"'},
        "",
        "is no TOML: a name is stated twice; state it once (at line 27, column 16)",
    ),
    "a sixth tier": (
        {"[thin_file]": "gold = 900\n[thin_file]"},
        "",
        "cut_offs.gold is not a part of a policy; cut_offs has bands, exemplary, standard, trusted",
    ),
}
"""(changes of the programme, further rules, part of the fault and its remedy)."""


@pytest.mark.parametrize("name", BAD_POLICIES)
def test_a_bad_programme_is_refused_with_a_remedy(name: str) -> None:
    changes, rules, said = BAD_POLICIES[name]
    text = programme()
    for old, changed in changes.items():
        text = text.replace(old, changed, 1)
    with pytest.raises(PolicyRefused, match=re.escape(said)):
        parse_policy_text(text + rules)


def test_nothing_settled_is_no_failure(tmp_path: Path) -> None:
    with served(tmp_path, rated(1)) as client:
        client.append_entries(MARKET, [identity("i", "s1")])
        assert list_rules(client, "s1") == set()
        wrong = sold("x", "s1", settled_orders=0, late=1)
        [(field, problem)] = refused("INVALID_ARGUMENT", "", client.append_entries, MARKET, [wrong]).fields
    assert (field, problem) == ("entries[0].exposure.late", "must be 0 to settled_orders")


@pytest.mark.parametrize(
    ("policy", "digest"),
    [
        (TIERS, "ac29f634b7d0fe971716f98c40e04f9476a2b99e21e36aec5c8e949108700cfb"),
        (TIERS.with_name("ladder.toml"), "8bf55cc9cd151df78b4a3ad0f465fa3a86d580b97f78c4a73601c3115f0a341b"),
        (GRADED, "f11f8063aee461756011ffe4e5fd1627ab5c675d1b3e98000233c87ff9ae0522"),
    ],
)
def test_an_old_policy_keeps_its_digest(policy: Path, digest: str) -> None:
    assert read_policy(policy).digest == digest
