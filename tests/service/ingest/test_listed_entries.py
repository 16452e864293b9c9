import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scoring.base.enums import Action, Harm, Kind, Source
from scoring.base.errors import EntryContentDiffers, InvalidInput
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from scoring.entries.kinds.table import BY_COMMAND
from sellertrust.v1 import entry_pb2
from service.bootstrap import build_scorer
from service.contract.entries import entry_message
from service.contract.entry_json import json_of_entry
from service.ingest.file_import import ImportReport, import_entries
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, NOW, Clock, ago, confirmed, exposure, identity, status, violation
from tests.helpers.databases import database
from tests.helpers.kinds import ON_RECORD, every_entry
from tests.helpers.servers import Shelf, append_messages_alone
from tests.helpers.worlds import artifact, policy

SELLERS = ["s1", "s2", "s3"]
RECALL = ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, "gtin-1")


def fill(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [*ON_RECORD, *(identity(f"i-{seller}", seller) for seller in SELLERS)])
    old = [exposure(NOW // DAY - n, seller, report_time=ago(n - 2)) for n in range(3, 90) for seller in SELLERS]
    ledger.append(MARKET, old, imported=True)
    ledger.append(MARKET, [violation("v-old", "s2", occur_time=ago(60), report_time=ago(59))], imported=True)
    ledger.append(MARKET, [status("v-late", seller="s3", entry_id="waits"), status("v-old", reason="seen")])
    ledger.append(MARKET, [entry for kind, entry in every_entry() if kind not in BY_COMMAND])
    clock.now += DAY
    ledger.append("other", [confirmed("elsewhere")])
    ledger.append(MARKET, [Entry(f"l-{seller}", seller, ProductListed("gtin-1"), ago(30)) for seller in SELLERS])
    ledger.append(MARKET, [Entry("p1", "", RECALL, ago(20)), status("p1", entry_id="p1-confirm")])
    ledger.append(MARKET, [violation("v-late", "s3"), status("v-old", Action.OVERTURN, reason="the laboratory erred")])
    ledger.erase(MARKET, "s2", actor="officer", entry_id="erased")


def listed(ledger: Ledger, market: str = MARKET) -> list[entry_pb2.Entry]:
    return [entry_message(market, recorded) for recorded in ledger.entries.list(market, ledger.cut(), limit=10_000)]


def imported(ledger: Ledger, folder: Path, messages: list[entry_pb2.Entry]) -> ImportReport:
    file = folder / "moved.jsonl"
    file.write_text("".join(json.dumps(json_of_entry(message)) + "\n" for message in messages))
    return import_entries(ledger, MARKET, file, lambda *_: None)


@contextmanager
def another(clock: Clock, folder: Path) -> Iterator[Ledger]:
    (folder / "another").mkdir()
    with database("sqlite", folder / "another") as url, Ledger.open(url, clock=clock) as ledger:
        yield ledger


def answers(ledger: Ledger) -> Any:
    cut = ledger.cut(NOW + DAY)
    outcomes, _ = build_scorer(ledger, policy(), Shelf(artifact())).scores(MARKET, SELLERS, cut)
    rows = [row._replace(sequence=0) for row in ledger.facts.table(MARKET, SELLERS, cut)[0].rows]
    rows = [row._replace(occur_time=0) if row.kind == Kind.CORRECTION else row for row in rows]
    return outcomes, [row for row in rows if row.kind != Kind.ERASURE]


def test_listed_entries_are_there_already(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    fill(ledger, clock)
    messages = listed(ledger)
    clock.now += DAY
    report = imported(ledger, tmp_path, messages)
    own = [message.entry_id for message in messages if message.origin] + ["erased"]
    assert len(own) > 5
    assert (report.rejects, report.appended, report.left_out) == ([], 0, len(own))
    assert report.already_present == len(messages) - len(own)
    assert listed(ledger) == messages


@pytest.mark.long
def test_a_moved_marketplace_has_the_same_scores(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    fill(ledger, clock)
    messages = listed(ledger)
    clock.now += 3 * DAY
    with another(clock, tmp_path) as target:
        target.append("other", [confirmed("here-before")])
        report = imported(target, tmp_path, messages)
        assert (report.rejects, report.already_present) == ([], 0)
        assert [entry.entry_id for entry in listed(target)] == [e.entry_id for e in messages if e.entry_id != "erased"]
        assert answers(target) == answers(ledger)
        again = imported(target, tmp_path, messages)
        assert (again.rejects, again.appended, again.already_present) == ([], 0, report.appended)


def test_listed_entries_can_be_appended_again(ledger: Ledger, clock: Clock) -> None:
    fill(ledger, clock)
    stated = [message for message in listed(ledger) if not message.origin and not message.HasField("erasure")]
    for message in stated:
        message.report_time.seconds -= 1
    assert all(done.already_present for done in append_messages_alone(ledger, MARKET, stated))
    foreign = listed(ledger, "other")[0]
    foreign.seller, foreign.sequence = f"marketplaces/{MARKET}/sellers/s1", 3
    foreign.report_time.seconds -= 1
    [done] = append_messages_alone(ledger, MARKET, [foreign])
    assert not done.already_present
    assert listed(ledger)[-1].report_time == listed(ledger)[-1].record_time


def test_only_imports_set_a_report_time(ledger: Ledger) -> None:
    message = entry_pb2.Entry(entry_id="i", seller=f"marketplaces/{MARKET}/sellers/s1")
    message.identity.level = entry_pb2.IDENTITY_LEVEL_BASIC
    message.occur_time.seconds = message.report_time.seconds = 1
    with pytest.raises(InvalidInput) as caught:
        append_messages_alone(ledger, MARKET, [message])
    assert [wrong.field for wrong in caught.value.violations] == ["entries[0].report_time"]


def test_a_listed_entry_that_was_changed_is_refused(ledger: Ledger) -> None:
    ledger.append(MARKET, [replace(identity("i"), report_time=ago(5))], imported=True)
    [message] = listed(ledger)
    message.identity.country = "DE"
    with pytest.raises(EntryContentDiffers):
        append_messages_alone(ledger, MARKET, [message])
