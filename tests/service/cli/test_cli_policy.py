import json
from collections import Counter
from pathlib import Path

import pytest

from scoring.base.errors import PolicyRefused
from service.ledger.store import Ledger
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS
from service.policy.policy_file import SHIPPED_POLICY, load_policy, read_policy
from service.settings import Settings
from tests.helpers.builders import exposure, identity
from tests.helpers.policies import GRADED
from tests.helpers.shells import MARKET, Shell, bare_shell, lines_of, serving, shell_of

GENERAL, LADDER = GRADED, SHIPPED_POLICY.with_name("ladder.toml")
TIERS = SHIPPED_POLICY.with_name("tiers.toml")


@pytest.mark.long
def test_a_policy_is_checked_without_a_server(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    assert "general version 2 is sound: 11 rules" in shell("policy", "check")[1]
    assert "tiers version 1 is sound: 0 rules" in shell("policy", "check", TIERS)[1]
    assert shell.json("policy", "check") == []
    assert "general version 1 is sound: 14 rules" in shell("policy", "check", GENERAL, "--strict")[1]
    twice = tmp_path / "twice.toml"
    twice.write_text(
        GENERAL.read_text()
        + '\n[[rules]]\nid = "again"\nreference = "x"\ntiers = ["trusted"]\n'
        + 'measures = [{ kind = "settlement_hold", days = 2 }]\n'
    )
    [odd] = shell.json("policy", "check", twice)
    assert (odd["finding"], odd["rule"]) == ("shadowed", "again")
    assert "--strict allows none" in shell("policy", "check", twice, "--strict", code=4)[1]
    lax = tmp_path / "lax.toml"
    lax.write_text(
        GENERAL.read_text().replace('{ kind = "settlement_hold", days = 3 }', '{ kind = "settlement_hold", days = 9 }')
    )
    assert "rules are laxer for who is worse: hold_days is 7" in shell.error(6, "policy", "check", lax)
    assert "does not exist" in shell.error(2, "policy", "check", tmp_path / "none.toml")


@pytest.mark.long
def test_two_policies_are_compared_situation_by_situation(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    edited = tmp_path / "edited.toml"
    edited.write_text(
        GENERAL.read_text().replace("claim_days = 30", "claim_days = 31").replace("days = 60", "days = 61")
    )
    rows = shell.json("policy", "check", edited, "--against", GENERAL)
    reserve, closed = "reserve_days 60 -> 61", "hold_days 30 -> 31"  # a closure holds payouts for claim_days
    counts = Counter(row["changes"] for row in rows)
    assert set(counts) == {reserve, closed, f"{closed}; {reserve}"}
    assert all(row["example"] for row in rows)
    out, shown = shell("policy", "check", edited, "--against", GENERAL)
    by_aspect = Counter(change for row in rows for change in row["changes"].split("; "))
    assert [line for line in out.splitlines() if "situations: " in line] == [
        f"{count} situations: {change}" for change, count in by_aspect.most_common()
    ]
    assert out.count("example: ") == len(by_aspect) == 2
    assert max(map(len, out.splitlines())) <= 120
    before, after = (read_policy(file).digest[:12] for file in (GENERAL, edited))
    assert f"{len(rows)} situations of general version 1 ({before}) changed by general version 1 ({after})" in shown
    assert "changed: trade.claim_days 30 -> 31" in shown
    assert shell.json("policy", "check", GENERAL, "--against", GENERAL) == []
    assert "--strict" in shell.error(2, "policy", "check", GENERAL, "--against", GENERAL, "--strict")
    out, shown = shell("policy", "check", SHIPPED_POLICY, "--against", LADDER)
    sizes = [int(line.split()[0].replace(",", "")) for line in out.splitlines() if " situations: " in line]
    assert sizes == sorted(sizes, reverse=True)
    assert 5 < len(sizes) <= 17
    assert "; ahead_days 0 -> 17; ahead_minor none -> 199.00 EUR; ahead_ppm" in " ".join(out.split())
    assert "others (-o json)" in out
    assert "values of caution.rules[grave-reports], such as caution.rules[grave-reports].id none" in shown
    edited.write_text(GENERAL.read_text().replace("clear_days = 14", "clear_days = 7"))
    rows = shell.json("policy", "check", edited, "--against", GENERAL)
    assert all("at a day-end 8 to 14 days ago" in row["where"] for row in rows)
    assert any("tier probation -> standard" in row["changes"] for row in rows)


@pytest.mark.long
def test_an_example_needs_no_override_if_the_rule_does_not(tmp_path: Path) -> None:
    edited = tmp_path / "edited.toml"
    edited.write_text(SHIPPED_POLICY.read_text().replace('"delivery_hold", days = 3', '"delivery_hold", days = 5'))
    out, _ = bare_shell(tmp_path)("policy", "check", edited, "--against", SHIPPED_POLICY)
    assert "delivery_hold_days 3 -> 5" in out
    assert "  example: 600 points\n" in out


@pytest.mark.long
def test_cases_beside_a_policy_decide_the_exit_code(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    assert "12 cases of 12 hold" in shell("policy", "check")[1]
    assert "9 cases of 9 hold" in shell("policy", "check", TIERS)[1]
    assert "5 cases of 5 hold" in shell("policy", "check", LADDER)[1]
    mine = tmp_path / "mine.toml"
    mine.write_text(SHIPPED_POLICY.read_text())
    mine.with_suffix(".cases.toml").write_text(LADDER.with_suffix(".cases.toml").read_text())
    err = shell.error(4, "policy", "check", mine)
    assert "standing is 24, expected 48" in err
    assert "cases failed" in err


@pytest.mark.long
def test_an_error_names_the_file_it_is_about_as_it_was_given(tmp_path: Path) -> None:
    wrong, sound, none = tmp_path / "wrong.toml", tmp_path / "sound.toml", tmp_path / "none.toml"
    wrong.write_text(GENERAL.read_text() + "colour = 1\n")
    sound.write_text(GENERAL.read_text())
    cases = tmp_path / "sound.cases.toml"
    cases.write_text(SHIPPED_POLICY.with_suffix(".cases.toml").read_text() + "colour = 1\n")
    shell = bare_shell(tmp_path)
    fault = f"{wrong}: the policy is unsound"
    assert fault in shell.error(6, "policy", "check", wrong, "--against", GENERAL)
    assert fault in shell.error(6, "policy", "check", GENERAL, "--against", wrong)
    assert fault in shell.error(6, "policy", "check", wrong)
    with pytest.raises(PolicyRefused, match=r"wrong\.toml: the policy is unsound"):
        load_policy(Settings(policy=wrong))
    assert f"{cases}: the cases are unsound" in shell.error(6, "policy", "check", sound)
    for command in ("check", "preview"):
        assert f"'{none}' does not exist" in shell.error(2, "policy", command, none)


SAID = ("--actor", "a-1", "--reason", "so")


@pytest.mark.long
def test_a_policy_is_committed_and_rolled_back_while_served(shell: Shell, tmp_path: Path) -> None:
    shell("ledger", "append", "-", stdin=lines_of("s-1"))
    assert shell.json("policy", "show", "--history") == []
    assert shell.json("policy", "show")["policy"] == "tiers"
    made = json.loads(shell("policy", "commit", GENERAL, *SAID, "-o", "json")[0])
    digest = read_policy(GENERAL).digest
    assert (made["action"], made["digest"], made["actor"], made["reason"]) == ("committed", digest, "a-1", "so")
    assert shell("policy", "show")[0] == GENERAL.read_text()
    assert "by the policy general version 1" in shell("measures", "s-1")[0]
    shell("policy", "commit", LADDER, *SAID)
    assert "by the policy ladder version 1" in shell("measures", "s-1")[0]
    assert "by the policy general version 1" in shell("measures", "s-1", "--policy", digest[:8])[0]
    assert "POLICY_MOVED" in shell.error(4, "policy", "commit", SHIPPED_POLICY, *SAID, "--expected", digest)
    back = shell("policy", "rollback", *SAID)
    assert f"the policy {digest[:12]} is served" in back[1]
    assert [row["action"] for row in shell.json("policy", "show", "--history")] == [
        "configured", "committed", "committed", "rolled_back",
    ]  # fmt: skip
    assert "rolled_back" in shell("policy", "show", "--history")[0]


@pytest.mark.long
def test_a_commit_shows_its_certificate_and_who_accepted(tmp_path: Path) -> None:
    with serving(shell_of(tmp_path / "data"), tmp_path) as address:
        shell = shell_of(tmp_path / "data", target=address)
        asked = ("policy", "commit", GENERAL, *SAID, "--assumptions", SHIPPED_ASSUMPTIONS)
        text = shell.error(4, *asked)
        assert "LOSS_NOT_ACCEPTED" in text
        assert "unconditional does not hold: one name can get 2,519,800.00 EUR" in text
        assert "next:  if you accept it, add --accept-loss 'unconditional=2,519,800.00 EUR'" in text
        error = shell.error(2, *asked, "--accept-loss", "unconditional=2519800.00")
        assert "'2519800.00' is no amount in EUR. Write '50,400.00 EUR', or 5040000 in minor units." in error
        losses = ("unconditional=251980000",)
        made = json.loads(shell(*asked, "--accept-loss", "unconditional=2,519,800.00 EUR", "-o", "json")[0])
        assert len(made["certificate"]) == 64
        assert made["accepted_losses"] == "; ".join(losses)
        assert made["certificate"][:12] in shell("policy", "show", "--history")[0]
        shown = shell("policy", "show")[1]
        assert f"loss certificate {made['certificate']}; a-1 accepted unconditional=2,519,800.00 EUR" in shown
        assert "unconditional=2,519,800.00 EUR" in shell("policy", "show", "--history")[0]
        assert shell.json("policy", "show")["commit"] == made


@pytest.mark.long
def test_the_doctor_shows_the_committed_policy(tmp_path: Path) -> None:
    with serving(shell_of(tmp_path / "data"), tmp_path) as address:
        shell = shell_of(tmp_path / "data", target=address)

        def found() -> str:
            return next(row["found"] for row in shell.json("doctor", code=6) if row["check"] == "policy")

        shipped, graded = read_policy(SHIPPED_POLICY).digest[:12], read_policy(GENERAL).digest[:12]
        assert found() == f"general, {shipped}, of the file, since none is committed"
        shell("policy", "commit", GENERAL, *SAID)
        assert found() == f"general, {graded}, committed; the file's general, {shipped} is not served"


def test_a_wrong_file_is_refused_before_the_server_is_asked(shell: Shell, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(GENERAL.read_text().replace("clear_days = 14", "clear_days = 1.5"))
    assert "clear_days must be a whole number" in shell.error(6, "policy", "commit", wrong, *SAID)
    assert "POLICY_NOT_FOUND" in shell.error(3, "policy", "show", "ffffff")


@pytest.mark.long
def test_a_preview_is_shown_as_tables_and_as_json(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    (tmp_path / "data").mkdir()
    with Ledger.open(f"sqlite:///{tmp_path / 'data' / 'ledger.db'}", create=True) as ledger:
        ledger.append(MARKET, [identity(), exposure(settled_orders=5_000)])
    everybody = tmp_path / "everybody.toml"
    everybody.write_text(
        GENERAL.read_text()
        + '\n[[rules]]\nid = "all"\nreference = "x"\nmeasures = [{ kind = "settlement_hold", days = 30 }]\n'
    )
    out, err = shell("policy", "preview", everybody, "--against", GENERAL)
    assert "there is no champion" in err
    assert "hold_days 17 -> 30" in out
    assert "0.00 EUR -> 0.00 EUR" in out
    assert "estimated" not in err, "the sample holds everybody"
    assert "everybody" in out
    found = shell.json("policy", "preview", everybody, "--against", GENERAL)
    assert found["changes"] == [{"change": "hold_days 17 -> 30", "sellers": 1}]
    assert {"rule": "all", "sellers": 1, "note": "everybody"} in found["rules"]
    assert (found["before"]["policy"], found["sellers"], found["good"]) == ("general", 1, 0)
    served = shell.json("policy", "preview", everybody)
    assert served["before"]["policy"] == "general"
    assert "--since" in shell.error(2, "policy", "preview", everybody, "--since", "yesterday")
    assert "--since" in shell.error(2, "policy", "preview", everybody, "--since", "2999-01-01")
    assert "does not exist" in shell.error(2, "policy", "preview", tmp_path / "none.toml")
    assert shell.json("policy", "preview", everybody, "-m", "elsewhere")["sellers"] == 0


@pytest.mark.long
def test_an_estimate_from_a_sample_comes_first(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    (tmp_path / "data").mkdir()
    with Ledger.open(f"sqlite:///{tmp_path / 'data' / 'ledger.db'}", create=True) as ledger:
        ledger.append(MARKET, [identity(f"i-{number}", f"s-{number}") for number in range(900)])
    out, err = shell("policy", "preview", GENERAL, "--against", GENERAL)
    assert "estimated from 300 of 900 sellers:" in err
    estimate, exact = (line for line in out.splitlines() if line.startswith("all "))
    assert estimate == exact
    assert estimate.split()[2] == "900"
