import json
import time
from pathlib import Path

import pytest

from scoring.base.enums import CorrectionKind, MeasureState, Tier
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged, OverrideImposed
from scoring.loss_certificate.certificate import digest_certificate
from scoring.measures.record import name_measure
from scoring.policy.measures import SettlementHold, ValueCap
from service.ledger.store import Ledger
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS
from service.policy.policy_file import SHIPPED_POLICY
from service.settings import load
from tests.helpers.builders import MARKET
from tests.helpers.policies import GRADED
from tests.helpers.runs import run_of
from tests.helpers.shells import bare_shell

pytestmark = pytest.mark.long

GENERAL, LADDER = GRADED, SHIPPED_POLICY.with_name("ladder.toml")
ACCEPTED = ("--accept", "unconditional=r.head")


def test_a_policy_is_certified_into_a_file_that_is_proven_again(tmp_path: Path) -> None:
    shell, out = bare_shell(tmp_path), tmp_path / "loss.json"
    asked = ("policy", "certify", GENERAL, "--assumptions", SHIPPED_ASSUMPTIONS, "--out", out)
    shown, err = shell(*asked, code=4)
    lines = shown.splitlines()
    assert lines[3:6] == [
        "  2,520,000.00 EUR by one seller, of 2,880,000.00 EUR that they paid",
        "  50,400,000.00 EUR on one day, if 20 sellers begin a run on it, of 57,600,000.00 EUR that they paid",
        "  2,520,000.00 EUR by one seller of tier none, exemplary",
    ]
    assert "  against_faked_history holds: a faked or bought history brings less than it costs. A run after" in shown
    assert "    holds up to a stop of 10 days (assumed: 9 days) THIN" in lines
    assert "  unconditional DOES NOT HOLD: one name gets 2,519,800.00 EUR more than it paid to enter, and" in shown
    assert "run for 16 days at 180,000.00 EUR a day (+2,520,000.00 EUR), come back under a new name: +2,519,8" in shown
    assert "  a run lasts 16 days = 7 until the latest promised arrival ([trade]) + 9 until orders and" in shown
    assert "  settlement_hold of short-history: 17 days = 16 of a run + 1" in lines
    assert "days: after a closure, until claims have ended ([trade] claim_days)" in shown
    assert "  claim_days 30 days" in lines
    assert "  identity: 200.00 EUR (example: lowest price seen)" in lines
    assert "  overturned: 1 % (example: to be replaced by the rate of your cases)" in lines
    assert (
        "  stop: 9 days (simulated year: 99 % of 473 runners are stopped within 16 days of their first order" in shown
    )
    not_covered = json.loads(out.read_bytes())["not_covered"]
    assert lines[lines.index("This certificate does not cover") + 1 :][: len(not_covered)] == [
        f"  {sentence}" for sentence in not_covered
    ]
    assert "error: unconditional does not hold" in err
    found = shell.json(*asked, *ACCEPTED)
    assert [(one["by"], one["most_minor"]) for one in found["accepted"]] == [("r.head", 251_980_000)]
    assert found["assumptions"]["stop"]["days"] == 9
    checked = ("verify", out, "--policy", GENERAL, "--assumptions", SHIPPED_ASSUMPTIONS)
    proven = shell.json(*checked)
    assert proven["digest"] == found["digest"] == json.loads(out.read_bytes())["digest"]
    assert proven["not_proven"][-2:] == [
        "nobody was granted more than the policy: nobody looked",
        "r.head accepted unconditional",
    ]
    assert "is of another policy" in shell.error(4, "verify", out, "--policy", LADDER)
    shell(*asked, *ACCEPTED, "--after", LADDER)
    assert "before its own, which are not at hand" in shell.error(4, *checked)
    assert shell.json(*checked, "--after", LADDER)["states"] == proven["states"]
    ladder = ("policy", "certify", LADDER, *asked[3:], *ACCEPTED)
    assert "error: against_faked_history does not hold" in shell(*ladder, code=4)[1]
    in_a_run, _ = shell("policy", "certify", SHIPPED_POLICY, *asked[3:], "--after", LADDER, code=4)
    assert "unconditional holds: one name gets up to 249,800.00 EUR more" in in_a_run
    assert "DOES NOT HOLD if a run began under a policy before: one name gets 1,849,800.00 EUR" in in_a_run


def test_a_certified_policy_shows_contradicted_assumptions(tmp_path: Path) -> None:
    shell, out = bare_shell(tmp_path), tmp_path / "loss.json"
    with Ledger.open(load({"SELLERTRUST_DATA_DIR": str(tmp_path)}).database_url, create=True) as ledger:
        today = int(time.time()) // 86_400
        run_of(ledger, "runner", today - 20, today - 10)
    asked = ("policy", "certify", GENERAL, "--assumptions", SHIPPED_ASSUMPTIONS, "--out", out)
    accepted = (*asked, *ACCEPTED)
    shell(*accepted, data_dir=tmp_path)
    err = shell(*accepted, "--ledger", data_dir=tmp_path, code=4)[1]
    assert "the ledger has 1 case of a run: that is too few for a bound of 99 %" in err
    assert "a stop within 9 days is assumed of 99% of runs, and 1 of 1 on record took longer" in err
    assert out.exists()


def test_what_persons_granted_is_certified_with_the_policy(tmp_path: Path) -> None:
    shell, out = bare_shell(tmp_path), tmp_path / "loss.json"
    later = int(time.time() + 86_400) * 1_000_000
    with Ledger.open(load({"SELLERTRUST_DATA_DIR": str(tmp_path)}).database_url, create=True) as ledger:
        ledger.append(MARKET, [Entry("o", "vip", OverrideImposed(Tier.STANDARD, later, "staff-1", "known for years"))])
        ledger.append(MARKET, [Entry("o2", "void", OverrideImposed(Tier.STANDARD, later, "staff-1", "known"))])
        ledger.append(MARKET, [Entry("c2", "void", EntryCorrected("o2", CorrectionKind.VOID, "staff-1", "mistaken"))])
    asked = ("policy", "certify", GENERAL, "--assumptions", SHIPPED_ASSUMPTIONS, "--out", out)
    accepted = (*asked, *ACCEPTED, "--ledger")
    shown = shell(*accepted, data_dir=tmp_path)[0]
    assert "Persons granted 1 seller a tier, or lifted measures of theirs, by entry 3" in shown
    assert "acme/vip: tier standard until" in shown
    assert "Z: 2,520,000.00 EUR\n" in shown
    with Ledger.open(load({"SELLERTRUST_DATA_DIR": str(tmp_path)}).database_url) as ledger:
        for rule, value in (("daily-limit", ValueCap(450_000)), ("short-history", SettlementHold(17))):
            name = name_measure("big", rule, value)
            for number, state in enumerate((MeasureState.IMPOSED, MeasureState.LIFTED)):
                fact = MeasureChanged(name, value.kind, state, "staff-1", "season")
                ledger.append(MARKET, [Entry(f"{rule}{number}", "big", fact)])
    shown, err = shell(*accepted, data_dir=tmp_path, code=4)
    assert (
        "acme/big: without value_cap of daily-limit, without settlement_hold of short-history: any sum, more" in shown
    )
    assert "error: granted does not hold" in err
    [big, vip] = json.loads(out.read_bytes())["granted"]["sellers"]
    assert (big["most"], big["is_within"], vip["is_within"]) == (None, False, True)
    assert "not covered: Fraud by buyers" in shell("verify", out, "--policy", GENERAL)[1]
    fault = shell.error(4, *asked, *ACCEPTED, "--ledger", "--accept", "granted=r.head", data_dir=tmp_path)
    assert "granted has no sum to accept: nothing bounds a day of a seller whose limit was lifted" in fault


def test_what_is_not_proven_is_refused_with_its_fault(tmp_path: Path) -> None:
    shell, out, wrong = bare_shell(tmp_path), tmp_path / "loss.json", tmp_path / "wrong.toml"
    stated = SHIPPED_ASSUMPTIONS.read_text()
    wrong.write_text(stated.replace("ppm = 60_000", "ppm = -1").replace("days = 9", "days = 0").replace("EUR", "euro"))
    fault = shell.error(4, "policy", "certify", GENERAL, "--assumptions", wrong, "--out", out)
    for text in (
        f"{wrong}: the assumptions are unsound",
        "wash.ppm must be a whole number, 0 to 1,000,000",
        "aged_account.ppm must be",
        "stop.days must be a whole number, 1 to 366",
        "currency must be the ISO 4217 code",
    ):
        assert text in fault
    plain = (
        "policy",
        "certify",
        SHIPPED_POLICY.with_name("tiers.toml"),
        "--assumptions",
        SHIPPED_ASSUMPTIONS,
        "--out",
        out,
    )
    assert "it states no [trade]" in shell.error(4, *plain)
    asked = ("policy", "certify", GENERAL, "--assumptions", SHIPPED_ASSUMPTIONS, "--out", out)
    assert "never is no verdict" in shell.error(4, *asked, "--accept", "never=r")
    assert "--accept: must be VERDICT=NAME" in shell.error(2, *asked, "--accept", "unconditional")
    assert not out.exists()
    shell(*asked, *ACCEPTED)
    altered = json.loads(out.read_bytes())
    altered["takes"]["largest"]["gross_minor"] = 5
    out.write_text(json.dumps(altered | {"digest": digest_certificate(altered)}))
    check = ("verify", out, "--policy", GENERAL)
    assert "the takes are not those of the policy's tiers" in shell.error(4, *check)
    out.write_text(json.dumps(altered)[:-9])
    assert "is no JSON" in shell.error(4, *check)
    out.write_text("[]")
    assert "is no audit file, backup, loss certificate, case or estimate" in shell.error(4, *check)
