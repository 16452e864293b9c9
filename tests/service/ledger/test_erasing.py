import sqlite3
from contextlib import closing

import pytest

from scoring.base.enums import Action
from scoring.base.errors import LedgerUnavailable, SellerNotFound
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, confirmed, status
from tests.service.ledger.test_sealing import bytes_of, key_of


def test_an_erasure_of_an_unknown_seller_is_refused(ledger: Ledger) -> None:
    ledger.append("other", [confirmed("v1", "s2")])
    with pytest.raises(SellerNotFound, match="No seller 's2' in marketplace"):
        ledger.erase(MARKET, "s2", actor="officer", entry_id="e1")
    assert ledger.last()[0] == 1
    ledger.erase("other", "s2", actor="officer", entry_id="e1")
    assert ledger.erase("other", "s2", actor="officer", entry_id="e1").already_present


@pytest.mark.long
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_an_erasure_held_up_is_finished_by_a_retry(ledger: Ledger, url: str) -> None:
    ledger.append(MARKET, [confirmed("v1"), status("v1", Action.APPEAL)])
    key = key_of(ledger, "s1")
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        with pytest.raises(LedgerUnavailable, match=r"is on record .* the entry id e1"):
            ledger.erase(MARKET, "s1", actor="officer", entry_id="e1")
        assert key in bytes_of(url)
    assert ledger.erase(MARKET, "s1", actor="officer", entry_id="e1").already_present
    assert key not in bytes_of(url)
