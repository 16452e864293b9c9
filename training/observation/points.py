"""The observation points of a study on a ledger: as it states them, or the latest that can compare models."""

from dataclasses import dataclass

import numpy as np

from scoring.features.facts import Facts
from scoring.time import format_day
from training.observation.export import LedgerTable
from training.observation.labels import final_facts
from training.observation.snapshots import count_bad
from training.study.definition import Observation, Study

ENOUGH_BAD = 50
"""Bad rows that a test point should have: with fewer, the interval of an AUC is wider than most differences."""
WORTH_GOING_BACK = 1.5
"""How many times the bad rows of a later test point an earlier one must have to be taken in its place.

Half as many again make an interval a fifth narrower; for less, what is nearer to today says more.
"""
MAX_TRIED = 24
"""Test points that are tried, back from the latest by the study's `step_days`."""


@dataclass(frozen=True, slots=True)
class Points:
    """Training and test points of a study."""

    train: list[Observation]
    """Training points, in order."""
    test: list[Observation]
    """Test points, in order."""
    why: str
    """Why the test point is this one; empty where the study states it, or observes at events."""


def choose_points(table: LedgerTable, study: Study, final: Facts | None = None) -> Points:
    """Return the study's points, or choose the latest test point with enough bad rows.

    A study that states its test points, or observes at events, gets what it states. Otherwise candidates are counted: the
    latest whose window and maturity are over, then earlier ones by `step_days`, MAX_TRIED at most, and as long as the
    first training point lies after `LedgerTable.first_day`. The first with ENOUGH_BAD bad rows ends the search, and the
    latest candidate is chosen that has at least 1/WORTH_GOING_BACK of its bad rows. If none has enough, the latest of all
    is chosen. `final`: from `final_facts`, computed from the table if it is not given. ConfigurationWrong if the ledger
    does not reach far enough for a point whose window and maturity are over.
    """
    train, test = study.find_points(table.as_of)
    if study.observation.test or study.observation.events is not None:
        return Points(train, test, "")
    final = final or final_facts(table)
    found: list[int] = []
    days: list[int] = []
    while len(found) < MAX_TRIED:
        day = test[0].day - len(days) * study.observation.step_days
        tried = study.find_points(table.as_of, day)
        if found and tried[0][0].day <= table.first_day:
            break
        days.append(day)
        found.append(count_bad(table, study, tried[1][0], final))
        if found[-1] >= ENOUGH_BAD:
            chosen = next(place for place, bad in enumerate(found) if bad * WORTH_GOING_BACK >= found[-1])
            return Points(*study.find_points(table.as_of, days[chosen]), _spell(days, found, chosen))
    return Points(train, test, _spell(days, found, 0))


def _spell(days: list[int], bad: list[int], chosen: int) -> str:
    """Explain in a sentence why the test point is the one at the place `chosen`.

    `days` and `bad`: days and bad rows of the points that were tried, the latest first.
    """
    day = format_day(days[chosen])
    if bad[-1] < ENOUGH_BAD:
        others = f"; none of {len(bad) - 1} earlier ones has so many, {int(np.max(bad[1:]))} at most" if bad[1:] else ""
        return (
            f"test point {day}, the latest whose window is over, has {bad[0]} bad rows and not the"
            f" {ENOUGH_BAD} that a comparison needs{others}"
        )
    later = f"; {chosen} later ones have {int(np.max(bad[:chosen]))} at most" if chosen else ""
    if chosen == len(bad) - 1:
        return f"test point {day} is the latest with {ENOUGH_BAD} bad rows ({bad[-1]}){later}"
    return (
        f"test point {day} has {bad[chosen]} bad rows{later}; the latest with {ENOUGH_BAD}, {format_day(days[-1])}, is"
        f" {days[chosen] - days[-1]} days older for {bad[-1] - bad[chosen]} more"
    )
