from dataclasses import replace
from pathlib import Path

import pytest

from scoring.base.enums import Action, Status
from scoring.entries.entry import Entry
from scoring.entries.incidents import derived_id
from service.ledger.append import known
from service.ledger.seals import chain as seals
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, PRODUCT_REPORT, Clock, ago, listing, status, violation
from tests.helpers.ledgers import back_up, restore, verify
from tests.helpers.limits import Limit

SELLERS = [f"s{number}" for number in range(10)]
VIOLATIONS = {seller: derived_id("p1", seller) for seller in SELLERS}


@pytest.fixture(autouse=True)
def _few_at_once(limit: Limit) -> None:
    limit(known, CHUNK=3)
    limit(seals, MAX_SEALED=4)


def listed(ledger: Ledger) -> None:
    ledger.append(MARKET, [listing(seller) for seller in SELLERS])


def stands(ledger: Ledger) -> dict[str, Status]:
    found = ledger.violations.find_views(MARKET, VIOLATIONS.values(), ledger.cut())
    return {seller: found[name].status for seller, name in VIOLATIONS.items() if name in found}


def test_a_recall_reaches_every_seller_once(ledger: Ledger) -> None:
    listed(ledger)
    ledger.append(MARKET, [PRODUCT_REPORT])
    assert stands(ledger) == dict.fromkeys(SELLERS, Status.ALLEGED)
    ledger.append(MARKET, [status(VIOLATIONS["s7"], Action.DISMISS, "by-itself")])
    ledger.append(MARKET, [status("p1", Action.CONFIRM)])
    assert stands(ledger) == dict.fromkeys(SELLERS, Status.CONFIRMED) | {"s7": Status.DISMISSED}
    assert verify(ledger, ledger.seals.last()).faults == ()
    assert ledger.last()[0] == 10 + 1 + 10 + 1 + 1 + 9
    before = ledger.last()
    ledger.append(MARKET, [PRODUCT_REPORT, status("p1", Action.CONFIRM)])
    assert ledger.last() == before


@pytest.mark.parametrize("how", ["the same call again", "the next server that starts"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_a_crash_left_of_a_recall_follows_afterwards(
    url: str, how: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(url, clock=Clock()) as ledger:
        listed(ledger)
        dying_after(ledger, at, monkeypatch, [PRODUCT_REPORT])
        assert len(stands(ledger)) == 3 * at
        ledger.append(MARKET, [status("p1", Action.CONFIRM)])
        if how == "the same call again":
            ledger.append(MARKET, [PRODUCT_REPORT])
        else:
            ledger.close()
            with Ledger.open(url, clock=Clock(), serving=True):
                pass
    with Ledger.open(url, clock=Clock()) as ledger:
        assert stands(ledger) == dict.fromkeys(SELLERS, Status.CONFIRMED)
        assert verify(ledger).faults == ()
        assert ledger.last()[0] == 10 + 1 + 10 + 1 + 10


def test_a_long_append_has_several_seals(ledger: Ledger) -> None:
    ids = [f"v{number}" for number in range(7)]
    ledger.append(MARKET, [status(name, seller="s1", occur_time=ago(1)) for name in ids])
    ledger.append(MARKET, [violation(name) for name in ids])
    assert ledger.last()[0] == 21
    assert verify(ledger).faults == ()


def test_a_seal_of_any_length_verifies(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(seals, "MAX_SEALED", 1_000_000)
        with Ledger.open(url) as ledger:
            ledger.append(MARKET, [violation(f"v{number}") for number in range(9)])
    with Ledger.open(url) as ledger:
        ledger.append(MARKET, [violation("w")])
        assert verify(ledger).faults == ()
        ledger.append(MARKET, [violation("w2")])
    back_up(url, tmp_path / "backup.zip")
    target = f"sqlite:///{tmp_path}/restored.db"
    restore(target, tmp_path / "backup.zip")
    with Ledger.open(target) as restored:
        assert verify(restored).faults == ()
        assert restored.last()[0] == 11


def dying_after(ledger: Ledger, appends: int, monkeypatch: pytest.MonkeyPatch, entries: list[Entry]) -> None:
    left, write = [*range(appends)], ledger.database.write

    def dies():
        left.pop()
        return write()

    with monkeypatch.context() as patched:
        patched.setattr(ledger.database, "write", dies)
        with pytest.raises(IndexError):
            ledger.append(MARKET, entries)


@pytest.mark.parametrize("together", [False, True])
def test_an_overturn_overtakes_an_interrupted_confirmation(
    url: str, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions = [status("p1", Action.CONFIRM, "z-confirm"), status("p1", Action.OVERTURN, "a-overturn")]
    with Ledger.open(url, clock=Clock()) as ledger:
        listed(ledger)
        ledger.append(MARKET, [PRODUCT_REPORT])
        if together:
            dying_after(ledger, 1, monkeypatch, decisions)
        else:
            dying_after(ledger, 1, monkeypatch, decisions[:1])
            ledger.append(MARKET, decisions[1:])
    with Ledger.open(url, clock=Clock(), serving=True) as ledger:
        assert stands(ledger) == dict.fromkeys(SELLERS, Status.OVERTURNED)
        before = ledger.last()
        ledger.append(MARKET, decisions)
        assert (ledger.last(), verify(ledger).faults) == (before, ())


def test_two_recalls_in_one_batch_reach_everybody(ledger: Ledger) -> None:
    listed(ledger)
    ledger.append(MARKET, [PRODUCT_REPORT, replace(PRODUCT_REPORT, entry_id="p2")])
    assert stands(ledger) == dict.fromkeys(SELLERS, Status.ALLEGED)
    others = [derived_id("p2", seller) for seller in SELLERS]
    assert len(ledger.violations.find_views(MARKET, others, ledger.cut())) == len(SELLERS)
