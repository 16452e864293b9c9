from pathlib import Path

import pytest

from scoring.base.enums import Kind
from scoring.entries.kinds.table import BY_COMMAND, KINDS, Need
from sellertrust.client import Client
from tests import contract
from tests.helpers.builders import MARKET, confirmed
from tests.helpers.databases import BACKENDS, database
from tests.helpers.kinds import OF_SERVICE, ON_RECORD, every_entry, message_of
from tests.helpers.refusals import refusal
from tests.helpers.servers import Running, running_server


def test_every_field_of_every_kind_is_filled_in_some_entry() -> None:
    for kind, row in KINDS.items():
        entries = [entry for k, entry in every_entry() if k is kind]
        empty = [f.name for f in row.fields if not any(getattr(entry.fact, f.name) for entry in entries)]
        assert empty == list(OF_SERVICE.get(kind, ())), kind


def test_the_contract_is_in_step_with_the_table_of_kinds() -> None:
    present = contract.ENTRY.read_text()
    assert contract.contract(present) == present


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_kind_is_listed_as_it_was_stated(backend: str, tmp_path: Path) -> None:
    sent = [message_of(entry, kind) for kind, entry in every_entry() if kind not in BY_COMMAND]
    with (
        database(backend, tmp_path) as url,
        running_server(tmp_path, database_url=url) as running,
        running.client() as client,
    ):
        running.ledger.append(MARKET, ON_RECORD)
        client.append_entries(MARKET, sent)
        stated = {message.entry_id for message in sent}
        listed = [entry for entry in client.list_entries(MARKET, page_size=1000) if entry.entry_id in stated]
        assert all(result.already_present for result in client.append_entries(MARKET, listed))
    assert [entry.entry_id for entry in listed if entry.pending] == [f"status-{n}" for n in range(8)]
    for entry, message in zip(listed, sent, strict=True):
        for name in ("report_time", "record_time", "sequence", "pending", "principal"):
            entry.ClearField(name)
        if not message.HasField("occur_time"):
            entry.ClearField("occur_time")
        assert entry == message


@pytest.mark.long
def test_each_missing_required_field_is_named(running: Running, client: Client) -> None:
    cases = []
    for kind, entry in every_entry():
        row = KINDS[kind]
        if kind in BY_COMMAND:
            continue
        for field in row.fields:
            message = message_of(entry, kind)
            if field.required and (field.shape.kind != "count" or field.shape.describe_error(0) is not None):
                getattr(message, row.kind.word).ClearField(field.name)
                cases.append((message, f"entries[0].{row.kind.word}.{field.name}"))
        for name, need in (("seller", row.seller), ("occur_time", row.occur_time)):
            message = message_of(entry, kind)
            message.ClearField(name)
            if need is Need.REQUIRED:
                cases.append((message, f"entries[0].{name}"))
    assert len(cases) > 200
    for message, path in cases:
        error = refusal(client.append_entries, MARKET, [message])
        assert path in [field for field, _ in error.fields], message
    assert running.ledger.last() == (0, 0)


def test_nobody_states_an_erasure(running: Running, client: Client) -> None:
    [erasure] = [message_of(entry, kind) for kind, entry in every_entry() if kind is Kind.ERASURE]
    error = refusal(client.append_entries, MARKET, [erasure])
    assert [field for field, _ in error.fields] == ["entries[0].erasure"]
    running.ledger.append(MARKET, [confirmed("v1")])
    running.ledger.erase(MARKET, "s1", actor="officer", ground="article 17", entry_id="e1")
    _, listed = client.list_entries(MARKET)
    assert (listed.erasure.actor, listed.erasure.ground) == ("officer", "article 17")
