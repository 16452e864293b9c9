from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import Kind
from scoring.base.time import DAY, format_day
from scoring.features.facts import Facts, resolve
from scoring.features.fold import Folder
from scoring.model.page import Page
from scoring.scores.reasons import rank_other_codes, rank_reason_codes
from training.observation.export import LedgerTable, entries_of
from training.observation.snapshots import Snapshot
from training.study.definition import Study

EndOf = Callable[[int], int]
REASON_ROWS = 2_000
MISSES = 20
MISS_ENTRIES = 12


def reason_frequencies(page: Page, study: Study, table: LedgerTable, test: Snapshot) -> list[dict[str, Any]]:
    """Count the test rows that would have each reason code, among at most 2,000 evenly spread; most frequent first."""
    chosen = np.unique(np.linspace(0, len(test.bad) - 1, min(REASON_ROWS, len(test.bad))).astype(np.int64))
    rows, folder = test.take(chosen), Folder(study.constants)
    counts: Counter[str] = Counter()
    for day in np.unique(rows.day).tolist():
        sellers = rows.seller[rows.day == day]
        facts = _resolve_sellers(table, sellers, day)
        costly = rank_other_codes(folder.fold(facts), rows.x[rows.day == day], page, study.features)
        for codes in (*rank_reason_codes(facts.violations, len(sellers)), *costly):
            counts.update(codes)
    return [
        {"reason_code": code, "rows": count, "share": count / len(chosen)}
        for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _resolve_sellers(table: LedgerTable, sellers: Ints, day: int) -> Facts:
    place = np.full(table.columns.cases, -1, dtype=np.int64)
    place[sellers] = np.arange(len(sellers))
    theirs = table.columns.take(place[table.columns.case] >= 0)
    columns = theirs.of_cases(place[theirs.case], len(sellers))
    return resolve(columns, np.full(len(sellers), day * DAY), as_reported=True)


def worst_misses(
    table: LedgerTable, test: Snapshot, p_bad: Floats, points: Ints, tiers: NDArray[Any], end_of: EndOf
) -> list[dict[str, Any]]:
    """Return the rows whose outcome was furthest from the prediction, the worst first.

    A table for each, with the latest `entries` of what was known when it was observed, and the first ones of its window
    in `after`.
    """
    chance = np.where(test.bad > 0, p_bad, 1 - p_bad)
    worst = np.lexsort((test.seller, chance))[:MISSES]
    return [
        {
            "seller": table.sellers[int(test.seller[row])],
            "observe": format_day(int(test.day[row])),
            "points": int(points[row]),
            "tier": str(tiers[row]),
            "p_bad": float(p_bad[row]),
            "bad": int(test.bad[row]),
            **_list_entries(table, int(test.seller[row]), int(test.day[row]), end_of(int(test.day[row]))),
        }
        for row in worst.tolist()
    ]


def _list_entries(table: LedgerTable, seller: int, day: int, end: int) -> dict[str, list[Mapping[str, Any]]]:
    """Return a seller's entries that are no exposure, in two lists of at most MISS_ENTRIES.

    `entries`: what had happened and was reported before `day`, newest first; `after`: what happened from then to before
    the `end` of the window, oldest first.
    """
    rows = [row for row in entries_of(table, seller) if row["kind"] != Kind.EXPOSURE]
    known = [row for row in rows if max(row["occur_time"], row["report_time"]) < day * DAY]
    after = [row for row in rows if day * DAY <= row["occur_time"] < end * DAY]
    known.sort(key=lambda row: (-row["occur_time"], row["entry_id"]))
    after.sort(key=lambda row: (row["occur_time"], row["entry_id"]))
    return {
        "entries": [_show_entry(row) for row in known[:MISS_ENTRIES]],
        "after": [_show_entry(row) for row in after[:MISS_ENTRIES]],
    }


def _show_entry(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "entry_id": row["entry_id"],
        "kind": Kind(row["kind"]).name.lower(),
        "day": format_day(row["occur_time"] // DAY),
        "what": _describe_fact(row),
    }


def _describe_fact(row: Mapping[str, Any]) -> str:
    parts: Sequence[str | None] = (row.get("violation_type"), row.get("harm"), row.get("action"))
    return " ".join(part for part in parts if part)
