import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import service.contract.texts as texts_module
from scoring.answers import forecast
from scoring.base.enums import Category, ControlReason, Severity, Source, Tier
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import ControlChanged
from scoring.entries.kinds.decisions import OverrideImposed
from scoring.model.artifact import load
from scoring.scores.reasons import REASON_CODES
from sellertrust.client import Client
from sellertrust.names import seller_name
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.registry import starter
from tests.helpers import builders
from tests.helpers.audiences import SAID, SELLER, STAFF, reported
from tests.helpers.callers import grant
from tests.helpers.granted import EVERY, granted_server
from tests.helpers.limits import Limit
from tests.helpers.policies import GRADED
from tests.helpers.refusals import denied, refusal, refused_fields
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server, violation
from tests.helpers.shells import shell_of
from tests.helpers.worlds import artifact

REGULATOR, CHECKOUT = score_pb.AUDIENCE_REGULATOR, score_pb.AUDIENCE_CHECKOUT


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_server(tmp_path_factory.mktemp("told"), artifact=artifact(), policy=GRADED) as running:
        with running.client() as client:
            client.append_entries(MARKET, reported())
            for name in ("v1", "v2", "v3"):
                client.confirm_violation(MARKET, name, **SAID)
            client.overturn_violation(MARKET, "v3", **SAID)
        yield running


def test_a_seller_reads_facts_rights_and_what_was_given_back(client: Client) -> None:
    found = client.explain_trust_score(MARKET, "s1", audience=SELLER)
    plain = client.get_trust_score(MARKET, "s1").message
    told = " ".join(found.audience_answer.sentences)
    assert f"is {plain.points} of 1,000 points" in told
    for fact in ("a rights owner", "brand-1", "l-118", "Art. 9 EUTMR", "Software detected it", "appeal", "v3"):
        assert fact in told
    assert "It counts for the tier until" in told
    assert "buyer-7" not in str(found)
    assert "brand-9" not in str(found)
    assert not found.reasons
    assert not found.HasField("baseline_points")
    added = [int(points.replace(",", "")) for points in re.findall(r": ([+-]?[0-9,]+) points", told)]
    [base] = re.findall(r"Without all these reasons you would have ([0-9]+) points", told)
    assert int(base) + sum(added) == plain.points
    for hidden in ("cautions", "open_allegations", "points_if_upheld", "p_bad"):
        assert not getattr(found.trust_score, hidden)
    [back] = found.audience_answer.given_back
    assert (back.violation, 0 < back.points < plain.points) == ("v3", True)


def test_violations_of_one_kind_are_no_other_reasons(client: Client) -> None:
    """Each of three equal incidents would give back little by itself, and all together much."""
    names = [f"same-{number}" for number in range(3)]
    client.append_entries(MARKET, [identity("i-s6", "s6"), exposure("x-s6", "s6", 5_000)])
    client.append_entries(MARKET, [violation(name, "s6", incident=name) for name in names])
    for name in names:
        client.confirm_violation(MARKET, name, **SAID)
    told = " ".join(client.explain_trust_score(MARKET, "s6", audience=SELLER).audience_answer.sentences)
    plain = client.explain_trust_score(MARKET, "s6")
    [together] = re.findall(r"same kinds: ([+-][0-9,]+) points", told)
    assert int(together.replace(",", "")) < 0
    others = sum(one.points for one in plain.reasons if "COUNTERFEIT" not in one.reason_code)
    added = [int(points.replace(",", "")) for points in re.findall(r": ([+-]?[0-9,]+) points", told)]
    assert plain.baseline_points + sum(added) == plain.trust_score.points
    stated = re.findall(r"Other reasons: ([+-][0-9,]+) points", told)
    assert sum(int(points.replace(",", "")) for points in stated) in (0, others)


def test_the_latest_overturns_are_given_back(client: Client) -> None:
    names = [f"back-{n}" for n in range(21)]
    client.append_entries(MARKET, [identity("i-s2", "s2"), *(violation(name, "s2") for name in names)])
    for name in names:
        client.confirm_violation(MARKET, name, **SAID)
        client.overturn_violation(MARKET, name, **SAID)
    found = client.explain_trust_score(MARKET, "s2", audience=SELLER).audience_answer
    assert [one.violation for one in found.given_back] == names[1:]


def test_flags_are_what_scores_without_the_entries_say(client: Client) -> None:
    found = client.explain_trust_score(MARKET, "s1", audience=STAFF)
    leads = {lead.reason_code: lead for lead in found.audience_answer.leads}
    lead = leads["COUNTERFEIT_CONFIRMED"]
    assert (lead.caused, lead.contestable, lead.points < 0) == (True, True, True)
    without = client.simulate_trust_score(MARKET, "s1", overturned=["v1"])
    assert without.simulated.points - without.present.points == -lead.points
    assert len(found.audience_answer.leads) <= 4
    assert found.reasons
    assert found.trust_score.open_allegations == 1


def test_staff_read_what_a_tier_means(tmp_path: Path) -> None:
    folder = Path(starter.__file__).parent / "starter_model"
    model = load({file.name: file.read_bytes() for file in folder.iterdir() if file.name != starter.GATES})
    rows = {row["tier"]: row for row in json.loads((folder / "evaluation.json").read_text())["grades"]}
    with running_server(tmp_path, artifact=model, policy=GRADED) as running, running.client() as client:
        client.append_entries(MARKET, reported()[:2])
        found = client.explain_trust_score(MARKET, "s1", audience=STAFF)
        meaning = found.audience_answer.tier_meaning
        row = rows[entry_pb.Tier.Name(meaning.tier).removeprefix("TIER_").lower()]
        assert meaning.tier == found.trust_score.tier
        assert (meaning.sellers, meaning.share, meaning.window) == (row["rows"], row["observed"], "180 days")
        assert meaning.low < meaning.share < meaning.high
        assert f"{100 * meaning.share:.1f} % became bad" in found.audience_answer.sentences[-1]
        for audience in (SELLER, REGULATOR):
            other = client.explain_trust_score(MARKET, "s1", audience=audience).audience_answer
            assert not other.HasField("tier_meaning")


def test_a_checkout_gets_one_line(client: Client) -> None:
    found = client.explain_trust_score(MARKET, "s1", audience=CHECKOUT, language="zh")
    assert len(found.audience_answer.sentences) == 1
    assert "标识" in found.audience_answer.sentences[0]
    assert not found.trust_score.HasField("points")
    assert not found.trust_score.reason_codes


def test_a_missing_language_and_audience_are_named(client: Client) -> None:
    for fields, name in (({"audience": SELLER, "language": "xx"}, "language"), ({"audience": 9}, "audience")):
        assert refused_fields(client.explain_trust_score, MARKET, "s1", **fields) == [name]


def test_each_audience_needs_its_own_right(tmp_path: Path) -> None:
    rights = {"read_own": SELLER, "explain": STAFF, "read_statements": REGULATOR, "read_scores": CHECKOUT}
    grants = [grant(f"dns:{right.replace('_', '-')}.example", [right], sellers=["s1"]) for right in rights]
    with granted_server(tmp_path, *grants, grant("dns:brand.example", ["append"], **EVERY)) as callers:
        with callers("brand") as brand:
            brand.append_entries(MARKET, reported())
        for right in rights:
            with callers(right.replace("_", "-")) as client:
                for other, audience in rights.items():
                    if other == right:
                        assert client.explain_trust_score(MARKET, "s1", audience=audience).audience_answer.sentences
                        continue
                    denied(client.explain_trust_score, MARKET, "s1", audience=audience)


def test_every_language_has_every_sentence() -> None:
    found = tomllib.loads((Path(texts_module.__file__).parent / "texts.toml").read_text())
    shapes = [{key: sorted(re.findall(r"{\w+}", text)) for key, text in _flatten(one)} for one in found.values()]
    assert all(shape == shapes[0] for shape in shapes)
    for words, table in ((Category, "category"), (Severity, "severity"), (Source, "source"), (Tier, "tier")):
        assert {word.name for word in words} == set(found["en"][table])
    spoken = {code for code in REASON_CODES if not code.endswith("_CONFIRMED")} - {"NO_MODEL", "CLEAR_DAYS_PENDING"}
    assert spoken == set(found["en"]["reason"])


def _flatten(table: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


@pytest.mark.parametrize(
    ("language", "may", "pending", "nothing"),
    [
        ("en", "You can appeal against it", "Your appeal is open", "Nothing that you do about it"),
        ("zh", "您可以免费申诉", "您的申诉正在处理中", "仅就此项采取行动"),
    ],
)
def test_an_open_appeal_contradicts_no_sentence(
    client: Client, language: str, may: str, pending: str, nothing: str
) -> None:
    name = f"appealed-{language}"
    entries = [identity(f"i-{name}", name), exposure(f"x-{name}", name, 5_000), violation(f"v-{name}", name)]
    client.append_entries(MARKET, entries)
    client.confirm_violation(MARKET, f"v-{name}", **SAID)

    def ask() -> list[str]:
        found = client.explain_trust_score(MARKET, name, audience=SELLER, language=language).audience_answer
        return [*found.sentences]

    for said in (may, pending):
        sentences = ask()
        [place] = [place for place, sentence in enumerate(sentences) if sentence.startswith(said)]
        assert not sentences[place + 1].startswith(nothing)
        assert "FIXED" not in " ".join(sentences)
        if said == may:
            client.appeal_violation(MARKET, f"v-{name}", actor="seller", reason="not ours")


@pytest.mark.parametrize(
    ("orders", "days", "acts", "said"),
    [(3, 300, True, "3 of 10 settled orders"), (300, 2, False, "You are too new to be rated")],
)
def test_a_new_seller_reads_what_it_lacks(client: Client, orders: int, days: int, acts: bool, said: str) -> None:
    name = f"new-{orders}"
    client.append_entries(MARKET, [exposure(f"x-{name}", name, orders, days)])
    found = client.explain_trust_score(MARKET, name, audience=SELLER).audience_answer
    [lead] = found.leads
    assert lead.reason_code == "THIN_FILE"
    assert said in " ".join(found.sentences)
    assert (lead.caused, lead.responsive) == (True, acts)
    assert ("You can act on it." in found.sentences) is acts
    assert not (acts and (found.fixed or client.find_tier_path(MARKET, name).fixed))


def test_no_orders_help_while_a_person_set_the_tier(client: Client) -> None:
    entry = entry_pb.Entry(entry_id="o-few", seller=seller_name(MARKET, "few"))
    entry.override.CopyFrom(entry_pb.OverrideImposed(tier=entry_pb.TIER_UNRATED, **SAID))
    entry.override.until.FromDatetime(datetime.now(UTC) + timedelta(days=360))
    client.append_entries(MARKET, [exposure("x-few", "few", 3, 300), entry])
    found = client.explain_trust_score(MARKET, "few", audience=SELLER).audience_answer
    assert found.fixed
    assert not any(lead.responsive for lead in found.leads)
    assert "You can act on it." not in found.sentences


def test_nothing_that_was_not_tried_is_said_to_be_of_no_help(client: Client, limit: Limit) -> None:
    limit(forecast, MAX_CELLS=0)
    found = client.explain_trust_score(MARKET, "s1", audience=SELLER).audience_answer
    path = client.find_tier_path(MARKET, "s1")
    assert (path.stopped, path.fixed, found.fixed) == (True, False, False)
    assert not any("nothing that you do" in sentence.lower() for sentence in found.sentences)


@pytest.mark.long
def test_the_command_explains_to_a_seller(running: Running, tmp_path: Path) -> None:
    shell = shell_of(tmp_path, target=running.address)
    shown, _ = shell("score", "s1", "--for", "seller", "-m", MARKET)
    assert "of 1,000 points" in shown
    [found] = shell.json("score", "s1", "--for", "seller", "--language", "zh", "-m", MARKET)
    assert "满分" in found["audience_answer"]["sentences"][0]
    assert "seller, staff" in shell.error(2, "score", "s1", "--for", "nobody", "-m", MARKET)


def test_past_scores_are_what_a_score_of_that_time_says(running: Running) -> None:
    known = [
        builders.identity("i-past", "past", occur_time=builders.ago(300), report_time=builders.ago(300)),
        builders.exposure(builders.TODAY - 200, "past", settled_orders=5_000, report_time=builders.ago(150)),
        builders.violation("v-past", "past", occur_time=builders.ago(100), report_time=builders.ago(90)),
        builders.status("v-past", entry_id="c-past", report_time=builders.ago(20)),
        builders.correction("v-past", moved_to=builders.ago(98), entry_id="m-past"),
        Entry("s-past", "past", ControlChanged(ControlReason.SOLD, "staff", "sold"), *[builders.ago(160)] * 2),
        Entry(
            "o-past",
            "past",
            OverrideImposed(Tier.EXEMPLARY, builders.ago(50), "staff", "seen"),
            *[builders.ago(70)] * 2,
        ),
    ]
    running.ledger.append(MARKET, known, imported=True)
    time, days = datetime.fromtimestamp(builders.TODAY * 86_400, UTC), [400, 299, 149, 95, 60, 10, 1]
    with running.client() as client:
        found = client.explain_trust_score(MARKET, "past", observe_time=time, past_days=days).past_scores
        for number, past in zip(days, found, strict=True):
            then = time - timedelta(days=number)
            assert past.observe_time.ToDatetime(UTC) == then
            if number == 400:
                assert (past.tier, past.HasField("points")) == (0, False)
                continue
            one = client.get_trust_score(MARKET, "past", observe_time=then).message
            assert (past.tier, past.points, past.HasField("points")) == (one.tier, one.points, one.HasField("points"))
        assert len({past.points for past in found}) > 3
        for wrong, audience in (([0], 0), ([3_651], 0), ([1] * 61, 0), ([1], SELLER), ([1], CHECKOUT)):
            error = refusal(client.explain_trust_score, MARKET, "past", past_days=wrong, audience=audience)
            assert "past_days" in str(error)
