"""Rows of proposals that came otherwise than by calls are found by the audit file, which names the digest of each."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.access.audit_reading import read_lines
from service.access.proposal_check import Checked, check_proposals
from service.ledger.proposals import Step
from tests.servers import MARKET
from tests.service.api.four_eyes import World, override, overrides, world


@pytest.fixture
def eyes(tmp_path: Path) -> Iterator[World]:
    with world(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path) as found:
        yield found


def checked(eyes: World) -> Checked:
    return check_proposals([read_lines(eyes.audit)], eyes.ledger.all_proposals())


def test_proposals_and_approvals_by_calls_are_those_of_the_audit_file(eyes: World) -> None:
    eyes.agreed(overrides(override("o-1")))
    eyes.propose("anna", overrides(override("o-2", "s-2")))
    assert checked(eyes) == Checked(2, 0, [])


def test_an_approval_that_was_written_into_the_database_is_found(eyes: World) -> None:
    proposal = eyes.propose("anna", overrides(override()))
    name = proposal.name.rpartition("/")[2]
    eyes.ledger.take_step(MARKET, name, Step.APPROVED, principal="dns:bert.example", check=lambda _: True)
    [(found, problem)] = checked(eyes).problems
    assert (found.proposal, problem) == (name, "was not approved by dns:bert.example by any line of the audit file")


def test_a_proposal_that_was_written_into_the_database_is_found(eyes: World) -> None:
    name = eyes.agreed(overrides(override())).name.rpartition("/")[2]
    content = eyes.ledger.proposal(MARKET, name).content
    assert content is not None
    other = replace(content, request=content.request + b"\x52\x00")
    eyes.ledger.propose(MARKET, "added", other, principal="dns:anna.example", seller="s-1", hours=1)
    [(found, problem)] = checked(eyes).problems
    assert (found.proposal, problem) == ("added", "was not proposed by dns:anna.example by any line of the audit file")


@pytest.mark.parametrize(("field", "word"), [("proposal_digest", "proposed"), ("digest", "approved")])
def test_a_request_in_the_place_of_another_is_found_by_its_digest(eyes: World, field: str, word: str) -> None:
    eyes.agreed(overrides(override()))
    lines = [dict(line) for line in read_lines(eyes.audit)]
    for line in lines:
        if field in line.get("acted", {}):
            line["acted"] = line["acted"] | {field: "0" * 64}
    [(_, problem)] = check_proposals([lines], eyes.ledger.all_proposals()).problems
    assert problem == f"holds another request than was {word} by the audit file"


def test_of_what_is_older_than_the_lines_that_retention_left_nothing_is_said(eyes: World) -> None:
    eyes.agreed(overrides(override()))
    cut = [{"cut": 4, "hash": "0" * 64}, {"time": "2999-01-01T00:00:00Z", "event": "cut"}]
    assert check_proposals([cut], eyes.ledger.all_proposals()) == Checked(0, 1, [])
