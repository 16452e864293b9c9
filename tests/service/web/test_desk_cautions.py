from types import SimpleNamespace
from typing import Any, cast

from sellertrust.v1.entry_pb2 import CASE_STATE_ENDED, Entry
from service.web.desk.what_if import WhatIfPages


def test_the_end_of_a_caution_is_an_entry_that_the_desk_may_append() -> None:
    form = {"case": "grave-reports~r1", "reason": "looked at"}
    appended: list[tuple[str, list[Entry]]] = []
    client = SimpleNamespace(append_entries=lambda market, entries: appended.append((market, entries)))
    visit = SimpleNamespace(
        path_value={"seller": "low"}.__getitem__,
        form_value=form.__getitem__,
        visitor=SimpleNamespace(actor="staff-1", client=client),
    )
    WhatIfPages("acme").end_caution(cast("Any", visit))
    [(market, [entry])] = appended
    assert (market, entry.seller, entry.entry_id[:5]) == ("acme", "marketplaces/acme/sellers/low", "desk-")
    decision = entry.case
    assert (decision.case, decision.state, decision.actor) == (form["case"], CASE_STATE_ENDED, "staff-1")
    assert decision.reason == form["reason"]
