import base64
import json
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from scoring.base.enums import Status
from scoring.base.errors import ConfigurationWrong, LedgerUnavailable, SourceUnavailable
from service.ingest.sources.feed import Feed, FeedReport
from service.ingest.sources.rejects import RejectFile
from service.ingest.sources.source import Message
from service.ledger.records import Position
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock
from tests.helpers.ledgers import ids
from tests.helpers.payloads import bare, decision, exposure, message, violation

MORE = 25


class Rows:
    name = "rows"

    def __init__(self, *partitions: Sequence[bytes], fails: int = 0) -> None:
        self.rows = [list(partition) for partition in partitions]
        self.at = [0] * len(partitions)
        self.fails = fails
        self.most = 1_000_000

    def partitions(self) -> Sequence[int]:
        return range(len(self.rows))

    def seek(self, partition: int, position: int | None) -> None:
        self.at[partition] = position or 0

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        if self.fails:
            self.fails -= 1
            raise SourceUnavailable("not now")
        found = [
            Message(partition, place + 1, payload)
            for partition, rows in enumerate(self.rows)
            for place, payload in list(enumerate(rows))[self.at[partition] :][: self.most]
        ]
        for row in found:
            self.at[row.partition] = row.next_position
        return found

    def caught_up(self) -> bool:
        return all(at == len(rows) for at, rows in zip(self.at, self.rows, strict=True))

    def close(self) -> None: ...


def fed(ledger: Ledger, source: Rows, folder: Path, patience_seconds: float = 5) -> FeedReport:
    with RejectFile(folder / "rejects.jsonl") as rejects:
        return Feed(ledger, MARKET, source, rejects, patience_seconds).run(once=True)


def rejected(folder: Path) -> list[dict[str, object]]:
    path = folder / "rejects.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_entries_of_every_form_are_appended(ledger: Ledger, tmp_path: Path) -> None:
    source = Rows([exposure(1, binary=True), exposure(2)], [bare("v-1")], [])
    report = fed(ledger, source, tmp_path)
    assert report == FeedReport(appended=3, positions={0: 2, 1: 1})
    assert sorted(ids(ledger)) == ["v-1", "x-s-1", "x-s-2"]
    assert [ledger.positions.find("rows", partition) for partition in range(3)] == [2, 1, None]
    source.rows[1].append(bare("v-2"))
    assert fed(ledger, source, tmp_path) == FeedReport(appended=1, positions={0: 2, 1: 2})
    assert rejected(tmp_path) == []


def test_a_replay_of_everything_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    source = Rows([exposure(n) for n in range(MORE)], [violation("v-1"), decision("d-1", "v-1")])
    fed(ledger, source, tmp_path)
    before = ledger.seals.last()
    again = Rows(*source.rows)
    again.name = "other"
    assert fed(ledger, again, tmp_path).already_present == MORE + 2
    assert ledger.seals.last() == before


BAR = {
    "measure": "m-9",
    "measure_kind": "MEASURE_KIND_MANUAL_REVIEW",
    "state": "MEASURE_STATE_NOTICE_BARRED",
    "ground": "Art. 9 order",
    "until": "2026-12-01T00:00:00Z",
    "actor": "a-1",
    "approver": "a-2",
    "reason": "seen",
}
WRONG = {
    "empty": (b"", "payload: is empty"),
    "garbage": (b"\x00\xff garbage", "payload: is neither an Entry as protobuf nor a JSON object"),
    "half a JSON object": (b'{"entry_id": "v', "payload: is not an Entry as JSON"),
    "nested a thousand deep": (b'{"a":' * 100_000, "payload: is not an Entry as JSON: is nested too deep"),
    "of no kind": (b'{"entry_id": "v-9"}', "entry.fact: must state one fact"),
    "of another marketplace": (
        exposure(7).replace(b"marketplaces/acme", b"marketplaces/evil"),
        "entry.seller: must be in the parent, marketplaces/acme",
    ),
    "invalid": (violation("v 9"), "entry_id: must be 1 to 128 characters"),
    "in the future": (violation("v-9", occur_time="2027-01-01T00:00:00Z"), "occur_time: lies in the future"),
    "conflicting": (violation("v-1", harm="HARM_LOW"), "entry_id: 'v-1' has other content"),
    "refused by the lifecycle": (
        decision("d-9", "v-1", "ACTION_OVERTURN"),
        "status.action: a violation that is alleged",
    ),
    "a bar on a letter": (
        message({"entry_id": "n-9", "seller": "s", "measure": BAR}),
        "measure.state: a bar on a letter needs two persons",
    ),
    "about nothing": (decision("d-9", "v-404"), "status.violation: no violation 'v-404' is recorded"),
    "an exposure taken": (
        exposure(1).replace(b"x-s-1", b"x-other"),
        "exposure: this day, product category and revision were stated by the entry 'x-s-1'",
    ),
}


def test_a_wrong_message_is_kept_with_its_reason(ledger: Ledger, tmp_path: Path) -> None:
    first = [exposure(1), violation("v-1")]
    rows = [*first, *(row for row, _ in WRONG.values()), exposure(2), decision("d-1", "v-1")]
    report = fed(ledger, Rows(rows), tmp_path)
    assert (report.appended, report.rejected, report.positions) == (4, len(WRONG), {0: len(rows)})
    assert sorted(ids(ledger)) == ["d-1", "v-1", "x-s-1", "x-s-2"]
    kept = sorted(rejected(tmp_path), key=lambda line: int(str(line["position"])))
    assert [line["position"] for line in kept] == list(range(2, 2 + len(WRONG)))
    for line, (payload, reason) in zip(kept, WRONG.values(), strict=True):
        assert (line["source"], line["partition"]) == ("rows", 0)
        assert base64.b64decode(str(line["payload"])) == payload
        assert str(line["reason"]).startswith(reason), line["reason"]
    assert ledger.positions.find("rows", 0) == len(rows)
    assert stat.S_IMODE((tmp_path / "rejects.jsonl").stat().st_mode) == 0o600


def test_a_batch_of_nothing_but_wrong_messages_is_passed(ledger: Ledger, tmp_path: Path) -> None:
    assert fed(ledger, Rows([b"", b"x"]), tmp_path).rejected == 2
    assert ledger.positions.find("rows", 0) == 2
    assert fed(ledger, Rows([b"", b"x"]), tmp_path).rejected == 0


def test_rejects_are_on_the_disk_before_reading_passes_them(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood: list[int | None] = []
    sync = os.fsync

    def synced(descriptor: int) -> None:
        stood.append(ledger.positions.find("rows", 0))
        sync(descriptor)

    fed(ledger, Rows([exposure(1)]), tmp_path)
    monkeypatch.setattr(os, "fsync", synced)
    fed(ledger, Rows([exposure(1), b"x", violation("v-1"), violation("v-1", harm="HARM_LOW"), exposure(2)]), tmp_path)
    assert len(stood) >= 3
    assert set(stood) == {1}
    assert len(rejected(tmp_path)) == 2
    assert ledger.positions.find("rows", 0) == 5


def test_where_rejects_cannot_be_kept_reading_stands(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        RejectFile(tmp_path / "file" / "rejects.jsonl") as rejects,
        pytest.raises(ConfigurationWrong, match=r"cannot be kept in .*rejects\.jsonl: .* --rejects"),
    ):
        Feed(ledger, MARKET, Rows([exposure(1), b"x"]), rejects, 1).run(once=True)
    assert ledger.positions.find("rows", 0) is None


def test_a_line_that_a_crash_cut_short_is_ended_first(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "rejects.jsonl").write_text('{"source": "ro')
    fed(ledger, Rows([b"x"]), tmp_path)
    lines = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert lines[0] == '{"source": "ro'
    assert json.loads(lines[1])["position"] == 0


@pytest.mark.long
def test_a_silent_source_is_asked_until_patience_ends(ledger: Ledger, tmp_path: Path) -> None:
    assert fed(ledger, Rows([exposure(1)], fails=2), tmp_path).appended == 1
    with pytest.raises(SourceUnavailable):
        fed(ledger, Rows([exposure(1), exposure(2)], fails=1_000), tmp_path, patience_seconds=0.5)
    assert ledger.positions.find("rows", 0) == 1


def test_a_source_that_has_more_and_sends_nothing_is_given_up(ledger: Ledger, tmp_path: Path) -> None:
    source = Rows([exposure(1)])
    source.most = 0
    with pytest.raises(SourceUnavailable, match="sends none"):
        fed(ledger, source, tmp_path, patience_seconds=0.2)


def test_a_silent_ledger_is_waited_for(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(url, clock=Clock()) as ledger:
        real = ledger.append
        calls: list[int] = []

        def append(*arguments: object, **options: object) -> object:
            calls.append(1)
            if len(calls) == 1:
                raise LedgerUnavailable("not now")
            done = real(*arguments, **options)  # type: ignore[arg-type]
            if len(calls) == 2:
                raise LedgerUnavailable("it was carried out all the same")
            return done

        monkeypatch.setattr(ledger, "append", append)
        report = fed(ledger, Rows([exposure(1), b"x", exposure(2)]), tmp_path)
        assert (report.appended, report.already_present, report.rejected) == (0, 2, 1)
        assert ids(ledger) == ["x-s-1", "x-s-2"]
        assert [line["position"] for line in rejected(tmp_path)] == [1]
        assert ledger.positions.find("rows", 0) == 3


def test_a_position_never_goes_back(ledger: Ledger) -> None:
    for place in (5, 3, 5, 8):
        ledger.positions.advance(Position("rows", 0, place))
    assert ledger.positions.find("rows", 0) == 8
    assert ledger.positions.find("rows", 1) is None


@pytest.mark.long
def test_a_feed_stops_when_it_is_told_with_what_it_has_committed(ledger: Ledger, tmp_path: Path) -> None:
    for fails in (0, 1_000_000):
        with RejectFile(tmp_path / "rejects.jsonl") as rejects:
            feed = Feed(ledger, MARKET, Rows([exposure(1)], fails=fails), rejects)
            timer = threading.Timer(0.3, feed.stop)
            timer.start()
            report = feed.run()
            timer.join()
        assert report.positions == {0: 1}


def test_a_decision_read_before_its_report_waits_for_it(ledger: Ledger, tmp_path: Path) -> None:
    source = Rows([decision("d-1", "v-1", seller="s")], [violation("v-1")])
    report = fed(ledger, source, tmp_path)
    assert (report.appended, report.rejected) == (2, 0)
    assert ledger.violations.find(MARKET, "v-1", ledger.cut()).status is Status.CONFIRMED


def test_a_message_may_carry_when_its_source_learned_of_the_fact(ledger: Ledger, tmp_path: Path) -> None:
    values = {
        "entry_id": "v-1",
        "seller": "s",
        "occur_time": "2026-01-05T00:00:00Z",
        "report_time": "2026-01-06T00:00:00Z",
        "violation": {"violation_type": "counterfeit_goods", "harm": "HARM_LOW", "source": "SOURCE_BRAND"},
    }
    fed(ledger, Rows([message(values)]), tmp_path)
    (found,) = ledger.entries.list(MARKET, ledger.cut())
    assert found.report_time - found.occur_time == 86_400_000_000
