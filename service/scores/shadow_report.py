from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from scoring.base.canonical import parse_json
from service.scores.shadow import file_of

MAX_SHOWN = 10
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def summarize_shadow(folder: Path, digest: str) -> dict[str, Any]:
    """Summarize all comparisons of a shadow model as JSON values, older file first.

    A difference is the shadow's points minus the champion's; None before the first comparison. Unreadable lines count as
    damaged.
    """
    left_out = Counter(dropped=0, failed=0, damaged=0)
    differences: list[int] = []
    tiers: Counter[tuple[str, str]] = Counter()
    champions: Counter[str] = Counter()
    first_time = last_time = None
    most: dict[str, dict[str, Any]] = {}
    for line in _read_lines(folder, digest):
        try:
            stated = parse_json(line)
            if "seller" not in stated:  # the dropped and failed requests so far
                left_out.update(dropped=int(stated["dropped"]), failed=int(stated["failed"]))
                continue
            before, after = map(int, stated["points"])
            champion, shadow = map(str, stated["tier"])
            seller, model, time = str(stated["seller"]), str(stated["champion"]), int(stated["observe_time"])
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            left_out["damaged"] += 1
            continue
        differences.append(after - before)
        tiers[champion, shadow] += 1
        champions[model] += 1
        first_time = time if first_time is None else min(first_time, time)
        last_time = time if last_time is None else max(last_time, time)
        if seller not in most or abs(after - before) > abs(most[seller]["difference"]):
            most[seller] = {"seller": seller, "champion": before, "shadow": after, "difference": after - before}
    n = len(differences)
    ranked = sorted(differences)
    moved = sum(count for (champion, shadow), count in tiers.items() if champion != shadow)
    shown = sorted(most.values(), key=lambda row: (-abs(row["difference"]), row["seller"]))
    return {
        "compared": n,
        "dropped_requests": left_out["dropped"],
        "failed_requests": left_out["failed"],
        "damaged_lines": left_out["damaged"],
        "champions": dict(champions.most_common()),
        "first_observe_time": first_time,
        "last_observe_time": last_time,
        "mean_difference": round(sum(differences) / n, 3) if n else None,
        "mean_absolute_difference": round(sum(map(abs, differences)) / n, 3) if n else None,
        **{f"p{p}": ranked[max(1, ceil(n * p / 100)) - 1] if n else None for p in PERCENTILES},
        "share_of_other_points": round(1 - differences.count(0) / n, 5) if n else None,
        "share_of_other_tier": round(moved / n, 5) if n else None,
        "tiers": [
            {"champion": champion, "shadow": shadow, "answers": count}
            for (champion, shadow), count in sorted(tiers.items())
        ],
        "most_different": shown[:MAX_SHOWN],
    }


def _read_lines(folder: Path, digest: str) -> Iterator[bytes]:
    path = file_of(folder, digest)
    for part in (path.with_suffix(".1.jsonl"), path):
        if part.exists():
            with part.open("rb") as file:
                yield from file
