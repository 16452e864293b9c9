from pathlib import Path

import numpy as np
import pytest

from scoring.base.enums import Action, Attribution, ControlReason, CorrectionKind, IncidentChange
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import ControlChanged
from scoring.entries.kinds.conduct import AttributionStated, IncidentChanged
from scoring.entries.kinds.decisions import EntryCorrected
from tests.helpers.builders import status, violation
from tests.training.observation.test_labels import END, OBSERVE, TRUTH, breach, is_bad, observe
from training.observation.snapshots import Snapshot
from training.study.definition import Study

LATER = (TRUTH + 400) * DAY
INSIDE, BEFORE = (OBSERVE + 10) * DAY, (OBSERVE - 10) * DAY


def folder(tmp_path: Path, name: str) -> Path:
    return tmp_path / name


def correction(entry_id: str, moved_to: int | None, known: int) -> Entry:
    kind = CorrectionKind.VOID if moved_to is None else CorrectionKind.MOVED
    fact = EntryCorrected(entry_id, kind, "staff", "entered wrongly", moved_to)
    return Entry(f"c-{entry_id}", "", fact, report_time=known)


def same(one: Snapshot, other: Snapshot) -> bool:
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in Snapshot.__dataclass_fields__)


def test_goods_that_were_somebody_elses_make_nobody_bad(tmp_path: Path, study: Study) -> None:
    accepted = AttributionStated("v", Attribution.ACCEPTED, "staff", "another shop's parcel")
    said = Entry("a", "", accepted, LATER, LATER)
    assert is_bad(folder(tmp_path, "held"), study, breach("v", INSIDE))
    assert not is_bad(folder(tmp_path, "away"), study, breach("v", INSIDE), said)


@pytest.mark.long
@pytest.mark.parametrize("moved_to", [(OBSERVE - 5) * DAY, END * DAY])
def test_a_violation_moved_out_of_the_window_makes_nobody_bad(tmp_path: Path, study: Study, moved_to: int) -> None:
    moved = correction("v", moved_to, (TRUTH - 1) * DAY)
    known = max(INSIDE, moved_to)
    assert not is_bad(folder(tmp_path, "moved"), study, breach("v", INSIDE, reported=known), moved)
    assert is_bad(
        folder(tmp_path, "inside"),
        study,
        breach("v", INSIDE, reported=INSIDE + DAY),
        correction("v", INSIDE + DAY, LATER),
    )


@pytest.mark.long
def test_what_was_void_before_the_observation_leaves_no_trace(tmp_path: Path, study: Study) -> None:
    facts = [breach("v", BEFORE), breach("w", BEFORE - DAY)]
    control = Entry("k", "s", ControlChanged(ControlReason.SOLD, "staff", "register"), BEFORE, BEFORE)
    merge = Entry("g", "s", IncidentChanged(IncidentChange.MERGED, "w", "staff", "one", "v"), BEFORE, BEFORE)
    voids = [correction(name, None, BEFORE + DAY) for name in ("k", "g")]
    plain = observe(folder(tmp_path, "plain"), study, *facts)
    assert same(observe(folder(tmp_path, "void"), study, *facts, control, merge, *voids), plain)
    assert not same(observe(folder(tmp_path, "merged"), study, *facts, merge), plain)
    assert not same(observe(folder(tmp_path, "sold"), study, *facts, control), plain)


@pytest.mark.long
def test_the_order_of_report_and_decision_changes_nothing(tmp_path: Path, study: Study) -> None:
    for name, moment in (("before", BEFORE), ("inside", INSIDE)):
        report = violation("v", "s", occur_time=moment)
        decision = status("v", Action.CONFIRM, seller="s", occur_time=moment + DAY)
        one = observe(folder(tmp_path, f"{name}-1"), study, report, decision)
        other = observe(folder(tmp_path, f"{name}-2"), study, decision, report)
        assert same(one, other)
        assert bool(one.bad[1]) == (name == "inside")
        assert bool(one.clean[1]) == (name == "inside")
