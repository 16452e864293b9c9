from pathlib import Path

import pytest

from service.ledger.store import Ledger
from tests.helpers.builders import exposure, identity
from tests.helpers.policies import GRADED
from tests.helpers.shells import MARKET, bare_shell

GENERAL = GRADED


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
