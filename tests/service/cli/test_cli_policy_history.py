import json
from pathlib import Path

import pytest

from service.policy.certificate_file import SHIPPED_ASSUMPTIONS
from service.policy.policy_file import SHIPPED_POLICY, read_policy
from tests.helpers.callers import Authority, grant, write_grants
from tests.helpers.four_eyes import EVERY, PERSONS, RIGHTS, persons
from tests.helpers.policies import GRADED
from tests.helpers.shells import MARKET, Shell, lines_of, serving, shell_of

GENERAL, LADDER = GRADED, SHIPPED_POLICY.with_name("ladder.toml")
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
def test_a_policy_is_proposed_approved_and_carried_out(tmp_path: Path) -> None:
    authority, path = Authority(tmp_path), tmp_path / "grants.toml"
    eyes = '[[four_eyes]]\nrights = ["policies"]\nmarketplaces = ["*"]\n'
    write_grants(path, grant("dns:*.example", RIGHTS, **EVERY), persons(**PERSONS), eyes)
    with serving(shell_of(tmp_path / "data", grants=path, **authority.server_settings()), tmp_path) as address:

        def connect(name: str) -> Shell:
            shown = authority.certificate(dns=[f"{name}.example"])
            files = {"target_ca": shown.tls, "target_certificate": shown.certificate, "target_key": shown.key}
            return shell_of(tmp_path / "data", target=address, marketplace=MARKET, **files)

        anna, bert = connect("anna"), connect("bert")
        assert "APPROVAL_REQUIRED" in anna.error(4, "policy", "commit", GENERAL, *SAID)
        made = anna.json("policy", "commit", GENERAL, *SAID, "--propose")
        assert '\n                 id = "newcomers"\n' in bert("proposal", "show", made["proposal"])[0]
        bert("proposal", "decide", made["proposal"], "approve", "--digest", made["digest"], *SAID)
        done = bert.json("proposal", "carry-out", made["proposal"])
        assert done["serving_digest"] == read_policy(GENERAL).digest
        assert anna.json("policy", "show", "--history")[-1]["proposal"] == made["proposal"]
