import numpy as np

from scoring.base.frozen import frozen
from scoring.base.time import format_day
from scoring.features.facts import Facts
from training.observation.export import LedgerTable
from training.observation.labels import final_facts
from training.observation.snapshots import count_bad
from training.study.definition import Observation, Study

ENOUGH_BAD = 50
"""Bad rows for a test point: with fewer, an AUC's interval is wider than most differences."""
WORTH_GOING_BACK = 1.5
"""An earlier test point needs this many times the bad rows of a later one: an interval a fifth narrower."""
MAX_TRIED = 24


@frozen
class Points:
    train: list[Observation]
    test: list[Observation]
    why: str
    """Why this test point; empty if the study states it or observes at events."""


def choose_points(table: LedgerTable, study: Study, final: Facts | None = None) -> Points:
    """Return the study's points, or choose the latest test point with enough bad rows.

    Candidates go back by `step_days` from the latest point whose window and maturity are over, at most MAX_TRIED and
    within the ledger. The search ends at 50 bad rows; the latest candidate with two thirds of them is chosen, or the
    latest of all.
    """
    train, test = study.find_points(table.end_day)
    if study.observation.test or study.observation.events is not None:
        return Points(train, test, "")
    final = final or final_facts(table)
    bad_rows: list[int] = []
    days: list[int] = []
    while len(bad_rows) < MAX_TRIED:
        day = test[0].day - len(days) * study.observation.step_days
        candidate = study.find_points(table.end_day, day)
        if bad_rows and candidate[0][0].day <= table.first_day:
            break
        days.append(day)
        bad_rows.append(count_bad(table, study, candidate[1][0], final))
        if bad_rows[-1] >= ENOUGH_BAD:
            chosen = next(place for place, bad in enumerate(bad_rows) if bad * WORTH_GOING_BACK >= bad_rows[-1])
            return Points(*study.find_points(table.end_day, days[chosen]), _explain_choice(days, bad_rows, chosen))
    return Points(train, test, _explain_choice(days, bad_rows, 0))


def _explain_choice(days: list[int], bad_rows: list[int], chosen: int) -> str:
    day = format_day(days[chosen])
    if bad_rows[-1] < ENOUGH_BAD:
        others = (
            f"; none of {len(bad_rows) - 1} earlier ones has so many, {int(np.max(bad_rows[1:]))} at most"
            if bad_rows[1:]
            else ""
        )
        return (
            f"test point {day}, the latest whose window is over, has {bad_rows[0]} bad rows and not the"
            f" {ENOUGH_BAD} that a comparison needs{others}"
        )
    later = f"; {chosen} later ones have {int(np.max(bad_rows[:chosen]))} at most" if chosen else ""
    if chosen == len(bad_rows) - 1:
        return f"test point {day} is the latest with {ENOUGH_BAD} bad rows ({bad_rows[-1]}){later}"
    return (
        f"test point {day} has {bad_rows[chosen]} bad rows{later}; the latest with {ENOUGH_BAD}, {format_day(days[-1])}, is"
        f" {days[chosen] - days[-1]} days older for {bad_rows[-1] - bad_rows[chosen]} more"
    )
