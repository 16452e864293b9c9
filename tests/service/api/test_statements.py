import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sellertrust.client import seller_name
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.audiences import SAID, SELLER, STAFF, reported
from tests.helpers.dsa_records import list_broken
from tests.helpers.policies import GRADED, TIERS
from tests.helpers.processes import ASCII, run_from_nothing
from tests.helpers.refusals import refusal, refused_fields
from tests.helpers.servers import MARKET, Running, days_ago, exposure, identity, running_server, violation
from tests.helpers.shells import shell_of
from tests.helpers.worlds import artifact

GENERAL = TIERS.with_name("general.toml")
REVIEW, DEMOTION = entry_pb.MEASURE_KIND_MANUAL_REVIEW, entry_pb.MEASURE_KIND_SEARCH_DEMOTION


def newcomer() -> list[entry_pb.Entry]:
    return [identity("i-s2", "s2"), exposure("x-s2", "s2", 3)]


def stated(name: str, state: int = entry_pb.MEASURE_STATE_IMPOSED, **fields: object) -> entry_pb.Entry:
    entry = entry_pb.Entry(entry_id=name, seller=seller_name(MARKET, "s1"))
    facts = {"measure": "by-hand", "measure_kind": REVIEW, "actor": "staff-2", "reason": "seen"} | fields
    entry.measure.CopyFrom(entry_pb.MeasureChanged(state=state, **facts))
    return entry


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_server(tmp_path_factory.mktemp("letters"), artifact=artifact(), policy=GENERAL) as running:
        with running.client() as client:
            client.append_entries(
                MARKET, [*reported(), *newcomer(), stated("m1", violations=["v1"], ground="terms 4.2 <&>")]
            )
            for name in ("v1", "v2"):
                client.confirm_violation(MARKET, name, **SAID)
        yield running


def letters(running: Running, seller: str, **asked: object) -> list[answer_pb.StatementOfReasons]:
    with running.client() as client:
        return [*client.list_statements_of_reasons(MARKET, seller, **asked).statements]


def of_kind(found: list[answer_pb.StatementOfReasons], kind: int) -> list[answer_pb.StatementOfReasons]:
    return [one for one in found if one.kind == kind]


def test_a_letter_says_what_why_and_what_to_do(running: Running) -> None:
    [letter] = of_kind(letters(running, "s1", audience=SELLER), DEMOTION)
    for said in (
        *("Search shows your listings after others", "Counterfeit, major", "brand-1", "l-118"),
        *("Art. 9 EUTMR", "Software detected it", "A person confirmed it on", "Seller terms 9.1", "shop is open now"),
        *("software applied the rule", "appeal against", "measure ends by itself on", "free of charge by", "court"),
        f"Marketplace {MARKET}, ",
        f"Case {letter.measure}",
    ):
        assert said in letter.text
    assert "buyer-7" not in letter.text
    assert (*letter.violations,) == ("v1", "v2")
    assert (letter.automation, letter.automated_detection) == (answer_pb.AUTOMATION_PARTIAL, True)
    assert letter.contest_until_time.seconds > letter.start_time.seconds
    assert not letter.credit_risk


def test_a_letter_names_what_holds_on(running: Running) -> None:
    by_rule, by_hand = of_kind(letters(running, "s1"), REVIEW)
    assert ([*by_rule.alike], [*by_hand.alike]) == ([by_hand.measure], [by_rule.measure])
    told = [*by_rule.paragraphs]
    assert told[told.index(by_hand.title) - 1].startswith("No measure of this kind in force is stricter.")
    assert by_hand.measure not in by_rule.text
    assert by_hand.automation == answer_pb.AUTOMATION_NONE
    for said in ("A person decided on this measure", "terms 4.2"):
        assert said in by_hand.text


def test_text_and_html_say_the_same(running: Running) -> None:
    for language in ("en", "zh"):
        for letter in letters(running, "s1", language=language):
            assert letter.language == language
            parser, found = HTMLParser(), list[str]()
            parser.handle_data = found.append
            parser.feed(letter.html.split("</title>")[1])
            assert [line.strip() for line in "".join(found).split("\n") if line.strip()] == [
                letter.title,
                *letter.paragraphs,
            ]
            assert letter.text.split("\n\n") == [letter.title, *letter.paragraphs[:-1], f"{letter.paragraphs[-1]}\n"]
            assert language == "en" or not re.search("[a-z]{4}", letter.title)


def test_a_tier_alone_is_credit_risk_and_asks_for_a_person(running: Running) -> None:
    found = letters(running, "s2", audience=SELLER)
    assert found
    for letter in found:
        assert letter.credit_risk
        assert [*letter.reason_codes] == ["THIN_FILE"]
        assert "3 of 10 settled orders" in letter.text
        assert "a person reviews it" in letter.text


def test_a_tier_that_a_person_set_is_not_by_software_alone(tmp_path: Path) -> None:
    with running_server(tmp_path, artifact=artifact(), policy=GENERAL) as running, running.client() as client:
        set_by_hand = entry_pb.Entry(entry_id="o1", seller=seller_name(MARKET, "s1"))
        set_by_hand.override.CopyFrom(entry_pb.OverrideImposed(tier=entry_pb.TIER_PROBATION, **SAID))
        set_by_hand.override.until.FromDatetime(days_ago(-20))
        client.append_entries(MARKET, [*reported(), set_by_hand])
        client.confirm_violation(MARKET, "v1", **SAID)
        found = [one for one in letters(running, "s1", audience=SELLER) if one.reason_codes]
    assert found
    for letter in found:
        assert [*letter.reason_codes] == ["OVERRIDDEN"]
        assert letter.automation == answer_pb.AUTOMATION_PARTIAL
        assert "A person set your tier until" in letter.text
        assert "Software alone" not in letter.text


def test_a_seller_reads_no_report_behind_a_precaution(tmp_path: Path) -> None:
    with running_server(tmp_path, artifact=artifact(), policy=GENERAL) as running, running.client() as client:
        raised = violation("r1", "s1", source=entry_pb.SOURCE_CUSTOMS, notifier="office-9", listing="l-7")
        client.append_entries(MARKET, [*reported()[:2], raised])
        [own] = of_kind(letters(running, "s1", audience=SELLER), REVIEW)
        [seen] = of_kind(letters(running, "s1", audience=STAFF), REVIEW)
        assert own.text == seen.text
        assert ([*own.violations], [*seen.violations]) == ([], ["r1"])
        assert "None is decided yet. This is a precaution: a person decides about it by" in own.text
        assert not {"office-9", "l-7", "r1"} & {*re.findall(r"[\w-]+", str(own))}
        client.append_entries(MARKET, [*newcomer(), violation("r2", "s2", source=entry_pb.SOURCE_CUSTOMS)])
        client.confirm_violation(MARKET, "r2", **SAID)
        confirmed = "at least one grave report about your goods. A person or an authority has confirmed each one."
        assert any(confirmed in letter.text for letter in letters(running, "s2", audience=SELLER))
        client.dismiss_violation(MARKET, "r1", **SAID)
        error = refusal(client.list_statements_of_reasons, MARKET, "s1", measure=own.measure)
        assert (error.code, "restricts this seller now" in str(error)) == (grpc.StatusCode.NOT_FOUND, True)


def test_no_order_keeps_the_wait_of_a_precaution(tmp_path: Path) -> None:
    sold = entry_pb.Entry(entry_id="sold", seller=seller_name(MARKET, "s1"))
    sold.control.CopyFrom(entry_pb.ControlChanged(cause=entry_pb.CONTROL_REASON_SOLD, actor="staff", reason="sold"))
    sold.occur_time.FromDatetime(days_ago(1))
    with running_server(tmp_path, artifact=artifact(), policy=GENERAL) as running, running.client() as client:
        client.append_entries(MARKET, [*reported()[:2], sold])
        waits = of_kind(letters(running, "s1"), entry_pb.MEASURE_KIND_SETTLEMENT_HOLD)
    told = {"precaution" in letter.text: letter.text for letter in waits if letter.HasField("end_time")}
    assert "Earlier orders keep their wait" not in told[True]


def test_wrong_questions_about_letters_are_named(running: Running) -> None:
    for asked, name in (({"language": "fr"}, "language"), ({"audience": score_pb.AUDIENCE_CHECKOUT}, "audience")):
        assert refused_fields(letters, running, "s1", **asked) == [name]
    assert refusal(letters, running, "nobody").code is grpc.StatusCode.NOT_FOUND


def test_a_barred_letter_waits_and_a_sent_one_is_dated(running: Running) -> None:
    until = Timestamp(seconds=int(days_ago(-20).timestamp()))
    with running.client() as client:
        client.append_entries(MARKET, [stated("m2", measure="hidden"), stated("m3", measure="told")])
        bar = {"measure": "hidden", "ground": "Art. 9 order", "until": until, "approver": "counsel-1"}
        client.append_entries(MARKET, [stated("n1", entry_pb.MEASURE_STATE_NOTICE_BARRED, **bar)])
        client.append_entries(MARKET, [stated("n2", entry_pb.MEASURE_STATE_NOTICE_SENT, measure="told")])
    own, seen = (
        {one.measure: one for one in letters(running, "s1", audience=audience)} for audience in (SELLER, STAFF)
    )
    assert "hidden" not in own
    assert (seen["hidden"].barred_until_time, seen["hidden"].bar_ground) == (until, "Art. 9 order")
    assert own["told"].HasField("notice_sent_time")
    assert own["told"].contest_until_time.seconds == own["told"].notice_sent_time.seconds + 184 * 86_400
    assert not own["by-hand"].HasField("notice_sent_time")
    assert refusal(letters, running, "s1", audience=SELLER, measure="hidden").code is grpc.StatusCode.NOT_FOUND
    with running.client() as client:
        client.append_entries(MARKET, [stated("m4", measure="told", ground="terms 5")])
    [again] = letters(running, "s1", measure="told")
    assert not again.HasField("notice_sent_time")


@pytest.fixture
def barred(tmp_path: Path) -> Iterator[Running]:
    bar = {"measure": "hidden", "ground": "Art. 9 order", "approver": "counsel-1"}
    bar_entry = stated("n1", entry_pb.MEASURE_STATE_NOTICE_BARRED, **bar)
    bar_entry.measure.until.FromDatetime(days_ago(-20))
    with running_server(tmp_path, artifact=artifact(), policy=TIERS) as running, running.client() as client:
        shown, hidden = (stated(f"m-{name}", measure=name) for name in ("shown", "hidden"))
        hidden.measure.violations.append("v1")
        client.append_entries(MARKET, [*reported()[:3], shown, hidden])
        client.confirm_violation(MARKET, "v1", **SAID)
        client.append_entries(MARKET, [bar_entry])
        yield running


def void(running: Running, entry: str) -> None:
    corrected = entry_pb.Entry(entry_id=f"{entry}-void", seller=seller_name(MARKET, "s1"))
    facts = entry_pb.EntryCorrected(entry=entry, correction=entry_pb.CORRECTION_KIND_VOID, **SAID)
    corrected.correction.CopyFrom(facts)
    with running.client() as client:
        client.append_entries(MARKET, [corrected])


def test_no_letter_names_a_barred_case(barred: Running) -> None:
    for audience in (SELLER, STAFF):
        [shown] = letters(barred, "s1", measure="shown", audience=audience)
        assert "hidden" not in f"{shown.alike} {shown.text}"
    void(barred, "n1")
    [shown] = letters(barred, "s1", measure="shown", audience=SELLER)
    assert "hidden" in shown.alike


def test_a_deposits_letter_names_no_barred_measure(tmp_path: Path) -> None:
    policy = tmp_path / "refilled.toml"
    policy.write_text(GRADED.read_text().replace("deposit_is_refilled = false", "deposit_is_refilled = true"))
    bar = stated("n1", entry_pb.MEASURE_STATE_NOTICE_BARRED, ground="Art. 9 order", approver="counsel-1")
    bar.measure.until.FromDatetime(days_ago(-20))
    bar.seller = seller_name(MARKET, "s2")
    with running_server(tmp_path, artifact=artifact(), policy=policy) as running, running.client() as client:
        client.append_entries(MARKET, newcomer())
        found = letters(running, "s2")
        stops = [one.title for one in of_kind(found, entry_pb.MEASURE_KIND_VALUE_CAP) if " 0.00 " in one.title]
        told = [one.measure for one in found if any(f"Without it: {title}" in one.text for title in stops)]
        for one in of_kind(found, entry_pb.MEASURE_KIND_VALUE_CAP):
            bar.entry_id, bar.measure.measure, bar.measure.measure_kind = f"n-{one.measure}", one.measure, one.kind
            client.append_entries(MARKET, [bar])
        assert told
        assert not [one for one in letters(running, "s2") if "Without it" in one.text]


def test_a_bar_can_be_taken_back(barred: Running) -> None:
    assert {one.measure for one in letters(barred, "s1", audience=SELLER)} == {"shown"}
    void(barred, "n1")
    assert {one.measure for one in letters(barred, "s1", audience=SELLER)} == {"shown", "hidden"}
    with barred.client() as client:
        client.append_entries(MARKET, [stated("n2", entry_pb.MEASURE_STATE_NOTICE_SENT, measure="hidden")])
    [told] = letters(barred, "s1", measure="hidden")
    assert told.HasField("notice_sent_time")
    void(barred, "n2")
    [told] = letters(barred, "s1", measure="hidden")
    assert not told.HasField("notice_sent_time")


def test_answers_to_sellers_leave_out_what_a_bar_hides(barred: Running) -> None:
    def ask(audience: int) -> tuple[str, str]:
        with barred.client() as client:
            told = client.explain_trust_score(MARKET, "s1", audience=audience).audience_answer
            tried = client.simulate_trust_score(MARKET, "s1", audience=audience)
            path = client.find_tier_path(MARKET, "s1", audience=audience)
        assert ("v1" in str(path.appeals)) is ("v1" in str(told))
        return str(told), str([*tried.present_measures.measures, *tried.simulated_measures.measures])

    (own, own_measures), (seen, seen_measures) = ask(SELLER), ask(STAFF)
    assert ("v1" in seen, "v1" in own) == (True, False)
    assert ("Without all these reasons" in seen, "Without all these reasons" in own) == (True, False)
    assert ("m-hidden" in seen_measures, "m-hidden" in own_measures, "m-shown" in own_measures) == (True, False, True)
    void(barred, "n1")
    assert "v1" in ask(SELLER)[0]


def test_the_command_keeps_barred_letters_out_of_the_folder(barred: Running, tmp_path: Path) -> None:
    shell = shell_of(tmp_path / "data", target=barred.address)
    folder = tmp_path / "out"
    folder.mkdir()
    for ending in ("txt", "html"):
        (folder / f"s1~hidden.en.{ending}").write_text("of an earlier run")
    shown, _ = shell("statements", str(folder), "s1", "-m", MARKET)
    assert {file.name for file in folder.glob("s1~*")} == {"s1~shown.en.txt", "s1~shown.en.html"}
    assert "1 letters and 1 new records" in shown
    [batch] = folder.glob("records-*.json")
    assert len(json.loads(batch.read_text())["statements"]) == 1


def test_records_are_as_the_published_rules_say(running: Running) -> None:
    found = letters(running, "s1")
    assert {one.record for one in letters(running, "s2")} == {""}
    assert {one.record for one in letters(running, "s1", audience=SELLER)} == {""}
    for one in found:
        assert bool(one.record) is bool(one.violations)
    records = {one.measure: json.loads(one.record) for one in found if one.record}
    assert [list_broken(record) for record in records.values()] == [[]] * len(records)
    assert len({record["puid"] for record in records.values()}) == len(records) > 3
    said = json.dumps(records)
    for name in ("brand-1", "buyer-7", "l-118", "s1", "v1"):
        assert f'"{name}' not in said
        assert f" {name}" not in said
    [demotion] = [record for record in records.values() if "CONTENT_DEMOTED" in str(record)]
    assert demotion["automated_detection"] == "Yes"
    assert demotion["end_date_visibility_restriction"] > demotion["application_date"]
    assert {record["source_type"] for record in records.values()} == {"SOURCE_TRUSTED_FLAGGER"}
    assert records["by-hand"]["automated_decision"] == "AUTOMATED_DECISION_NOT_AUTOMATED"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"puid": "a.b"}, "puid"),
        ({"decision_visibility": [], "decision_visibility_other": None}, "decision"),
        ({"decision_facts": ""}, "decision_facts"),
        ({"category": "STATEMENT_CATEGORY_TOYS"}, "category"),
        ({"content_date": "1999-12-31"}, "content_date"),
        ({"end_date_visibility_restriction": "2038-01-02"}, "end_date"),
        ({"source_type": "SOURCE_VOLUNTARY", "source_identity": "Customs"}, "source_identity"),
        ({"incompatible_content_ground": "x" * 501}, "incompatible"),
        ({"more": "1"}, "more"),
    ],
)
def test_the_second_reading_finds_each_broken_rule(running: Running, change: dict[str, Any], name: str) -> None:
    good = next(json.loads(one.record) for one in letters(running, "s1") if one.record and one.kind == DEMOTION)
    stated = {field: value for field, value in (good | change).items() if value is not None}
    assert list_broken(good) == []
    assert any(name in broken for broken in list_broken(stated))


NEW = """
[[rules]]
id = "young"
reference = "terms 2"
tenure = { below = 3_000 }
measures = [{ kind = "manual_review" }]
"""


@pytest.mark.parametrize("laws", ["p2b", "none"])
def test_links_may_begin_alike_and_bodies_follow_laws(tmp_path: Path, laws: str) -> None:
    (tmp_path / "new.toml").write_text(TIERS.read_text() + NEW)
    links = {"contest_link": "https://shop.example/help/{measure}", "redress_link": "https://shop.example/help"}
    settings = {"policy": tmp_path / "new.toml", "laws": laws, **links}
    with running_server(tmp_path, artifact=artifact(), **settings) as running, running.client() as client:
        client.append_entries(MARKET, newcomer())
        [letter] = letters(running, "s2")
    contest = f"https://shop.example/help/{letter.measure}"
    assert f'<a href="{contest}">{contest}</a>' in letter.html
    assert letter.html.count("<a ") == letter.html.count("</a>") == 1 + (laws == "p2b")
    assert ("listed here" in letter.text) is (laws == "p2b")
    assert "successful complaint" in letter.next_action


def test_laws_that_do_not_apply_are_left_out(tmp_path: Path) -> None:
    with running_server(tmp_path, artifact=artifact(), policy=GENERAL, laws="p2b") as running:
        with running.client() as client:
            client.append_entries(MARKET, reported()[:3])
            client.confirm_violation(MARKET, "v1", **SAID)
        found = letters(running, "s1")
    assert {one.record for one in found} == {""}
    assert {("mediator" in one.text, "certified body" in one.text) for one in found} == {(True, False)}


def held(name: str, days: int, minor: int, product_category: str = "", revision: int = 0) -> entry_pb.Entry:
    entry = exposure(f"x-s3-{name}", "s3", 50, days)
    facts = {"product_category": product_category, "revision": revision, "value_held_minor": minor, "currency": "EUR"}
    entry.exposure.MergeFrom(entry_pb.ExposureStated(**facts))
    return entry


def test_a_letter_says_what_is_held_and_where_to_contest(tmp_path: Path) -> None:
    """The last day's sum counts, by its highest revisions, and is left out if the ledger states none."""
    links = {"contest_link": "https://shop.example/contest?case={measure}", "redress_link": "https://shop.example/b"}
    imposed = {"measure": "c-204", "measure_kind": entry_pb.MEASURE_KIND_SETTLEMENT_HOLD, "days": 14}
    with running_server(tmp_path, artifact=artifact(), policy=GENERAL, **links) as running, running.client() as client:
        stated_hold, review = stated("m3", **imposed), stated("m4", measure="c-205")
        stated_hold.seller = review.seller = seller_name(MARKET, "s3")
        stated_hold.occur_time.FromDatetime(days_ago(1).replace(hour=1))
        client.append_entries(MARKET, [identity("i-s3", "s3"), held("a", 2, 9_900), stated_hold, review])
        [unknown] = letters(running, "s3", measure="c-204")
        assert "At the end of" not in unknown.text
        later = [held("b", 1, 100_000, "shoes"), held("c", 1, 124_000, "shoes", 1), held("d", 1, 50, "bags")]
        client.append_entries(MARKET, [*later, held("e", 0, 77_700)])
        [hold] = letters(running, "s3", measure="c-204")
        [other] = letters(running, "s3", measure="c-205", language="zh")
    day = days_ago(1)
    assert f"At the end of {day.day} {day:%B %Y} we held back 1,240.50 EUR of your money, by all" in hold.text
    assert "1,240.50" not in other.text
    others = "New orders are paid out at the earliest . days after their delivery"
    assert re.search(f"when the last one is over.*\n\n{others}", hold.text)
    for one, case in ((hold, "c-204"), (other, "c-205")):
        link = f"https://shop.example/contest?case={case}"
        assert f"{link}\n" in one.text
        assert "https://shop.example/b\n" in one.text
        assert f'<a href="{link}">{link}</a>' in one.html


def test_a_letter_is_true_about_ends_and_amounts(tmp_path: Path) -> None:
    limit = {"days": 14, "amount_minor": 50_000, "currency": "EUR", "ppm": 50_000, "at_most_minor": 900_000}
    by_hand = [
        stated("m5", measure="limit", measure_kind=entry_pb.MEASURE_KIND_PAID_AHEAD_LIMIT, **limit),
        stated("m6", measure="sum", measure_kind=entry_pb.MEASURE_KIND_DEPOSIT, amount_minor=100_000, currency="EUR"),
    ]
    with running_server(tmp_path, artifact=artifact(), policy=GENERAL) as running, running.client() as client:
        violations = [violation(f"h{n}", "s1", incident=f"i{n}") for n in range(5)]
        client.append_entries(MARKET, [*reported()[:2], *violations, *by_hand])
        for n in range(5):
            client.confirm_violation(MARKET, f"h{n}", **SAID)
        found = letters(running, "s1", audience=SELLER)
    *suspended, closed = of_kind(found, entry_pb.MEASURE_KIND_SUSPENSION)
    by_other = "Your shop is closed now. Another measure, with a letter of its own, closed it, not this one."
    for one in found:
        if one in suspended:
            assert "Your shop is closed now." in one.text
        else:
            assert by_other in one.text
            assert one is closed or f"{by_other} {suspended[-1].title} {closed.title}" in one.text
    for one in suspended:
        assert "after it, another measure of this kind holds" in one.text
        assert closed.title in one.text
    assert "Your account is closed." in closed.title
    assert "This measure ends by itself on" in closed.text
    [ahead] = of_kind(found, entry_pb.MEASURE_KIND_PAID_AHEAD_LIMIT)
    assert (
        "at most 500.00 EUR plus 5 % of the value that you settled so far, and never more than 9,000.00 EUR"
        in ahead.title
    )
    [deposit] = of_kind(found, entry_pb.MEASURE_KIND_DEPOSIT)
    for said in (
        "Pay the deposit of 1,000.00 EUR",
        "on any day while this measure lasts",
        "does not reopen",
        "at the earliest 180 days after your last order",
    ):
        assert said in deposit.text


@pytest.mark.long
def test_the_command_writes_letters_and_batches_once(running: Running, tmp_path: Path) -> None:
    shell = shell_of(tmp_path / "data", target=running.address)
    folder = tmp_path / "out"
    folder.mkdir()
    shown, _ = shell("statements", str(folder), "-m", MARKET)
    assert "letters and" in shown
    [batch] = folder.glob("records-*.json")
    assert 3 < len(json.loads(batch.read_text())["statements"]) <= 100
    sent = [one for one in letters(running, "s1") if not one.HasField("barred_until_time")]
    assert len([*folder.glob("s1~*.en.txt")]) == len([*folder.glob("s1~*.en.html")]) == len(sent)
    again, _ = shell("statements", str(folder), "s1", "s2", "-m", MARKET)
    assert "and 0 new records" in again
    assert [*folder.glob("records-*.json")] == [batch]


@pytest.mark.long
def test_letters_are_in_utf_8_under_any_locale(running: Running, tmp_path: Path) -> None:
    shell = replace(shell_of(tmp_path / "data", target=running.address), run=run_from_nothing)
    shell.environment.update(ASCII)
    folder = tmp_path / "out"
    folder.mkdir()
    shell("statements", str(folder), "s1", "--language", "zh", "-m", MARKET)
    written = [file.read_text(encoding="utf-8") for file in folder.glob("s1~*.zh.*")]
    assert written
    assert all("\u60a8" in text for text in written)


def test_a_letter_says_which_of_two_caps_counts(running: Running) -> None:
    cap = entry_pb.MEASURE_KIND_LISTING_CAP
    entries = [identity("i-s3", "s3"), exposure("x-s3", "s3", 5_000)]
    for listings in (20, 9):
        entry = stated(f"m-{listings}", measure=f"cap-{listings}", measure_kind=cap, listings=listings)
        entry.seller = seller_name(MARKET, "s3")
        entries.append(entry)
    with running.client() as client:
        client.append_entries(MARKET, entries)
    for language, says in (
        ("en", ("the strictest of each value counts", "in force is stricter")),
        ("zh", ("各项数值以最严格者为准", "没有比本措施更严格的")),
    ):
        lax, strict = sorted(
            of_kind(letters(running, "s3", audience=SELLER, language=language), cap), key=lambda one: one.measure
        )
        assert (lax.measure, lax.binding, strict.binding) == ("cap-20", False, True)
        for one, other, said in ((lax, strict, says[0]), (strict, lax, says[1])):
            paragraphs = [*one.paragraphs]
            assert said in paragraphs[paragraphs.index(other.title) - 1]


def test_two_reserves_that_both_count_are_not_called_strictest(running: Running) -> None:
    reserve = entry_pb.MEASURE_KIND_ROLLING_RESERVE
    entries = [identity("i-s5", "s5"), exposure("x-s5", "s5", 5_000)]
    for name, ppm, days in (("share", 100_000, 30), ("long", 50_000, 90)):
        entry = stated(f"m-{name}", measure=name, measure_kind=reserve, ppm=ppm, days=days)
        entry.seller = seller_name(MARKET, "s5")
        entries.append(entry)
    with running.client() as client:
        client.append_entries(MARKET, entries)
    for letter in of_kind(letters(running, "s5"), reserve):
        assert letter.binding
        assert "is stricter" not in letter.text
        assert "the strictest of each value counts" in letter.text


def test_a_wait_of_earlier_orders_outlasts_its_hold(running: Running) -> None:
    hold, until = entry_pb.MEASURE_KIND_SETTLEMENT_HOLD, days_ago(-20).replace(microsecond=0)
    entry = stated("m-wait", measure="wait", measure_kind=hold, days=30)
    entry.measure.until.FromDatetime(until)
    entry.seller = seller_name(MARKET, "s4")
    with running.client() as client:
        client.append_entries(MARKET, [identity("i-s4", "s4"), exposure("x-s4", "s4", 5_000), entry])
    [letter] = [one for one in of_kind(letters(running, "s4"), hold) if one.measure == "wait"]
    assert f"{until.year}. Earlier orders keep their wait after that day." in letter.text
