"""Reasons: every point of some 100,000 explanations has a name; 1,000 sums are repeated by a separate script."""

import gc
import tempfile
from collections import Counter
from datetime import date
from pathlib import Path
from statistics import median
from time import process_time

from scoring.base.enums import RATED_TIERS, ScoreState, Tier
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.model.artifact import Artifact, load
from scoring.scores.answer import Explanation
from scoring.scores.reasons import CLEAR_DAYS_PENDING, OVERRIDDEN, STANDING
from service.ledger.store import Ledger
from tests.bench._real_data import Say
from tests.helpers.answers import explain, fact_rows, score
from tests.helpers.page_by_hand import PageByHand
from tests.helpers.training_ledgers import DAYS, POLICY, START, STUDIES, exported, market_ledger, train
from training.study.loading import load_study

SELLERS, STEPS, STEP_DAYS = 5_000, 24, 15
BY_HAND, TIMED = 1_000, 200
MARKET = "demo"
END = ((START - date(1970, 1, 1)).days + DAYS) * DAY


def run(say: Say, sellers: int = SELLERS) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name, market_ledger(Path(name), sellers) as ledger:
        trained = train(exported(ledger, MARKET, Path(name)), load_study(STUDIES / "marketplace.toml"))
        artifact = load(trained.parts)
        for row in trained.evaluation["bands"]:
            say(f"{row['tier']:10} {row['share']:6.1%}  bad {row['rate'] or 0:.2%} ({row['low'] or 0:.2%} to"
                f" {row['high'] or 0:.2%}), told apart from the next: {row['apart']}")  # fmt: skip
        figures = _explain_all(ledger, artifact, sellers, say)
        for row in trained.evaluation["bands"]:
            figures |= {f"reasons.band.{row['tier']}.{key}": row[key] for key in ("share", "rate", "low", "high")}
    for key, value in figures.items():
        say(f"  {key:36} {value}")
    return figures


def _explain_all(ledger: Ledger, artifact: Artifact, sellers: int, say: Say) -> dict[str, float]:
    cut, page = ledger.cut(), PageByHand(artifact.parts)
    found: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    ratios: list[float] = []
    for number in range(sellers):
        seller = f"s-{number:06d}"
        rows = fact_rows(ledger, seller, cut=cut, marketplace=MARKET)
        for step in range(STEPS):
            now = END - step * STEP_DAYS * DAY
            explained = explain(rows, seller, now, artifact, POLICY)
            if explained is None:
                continue
            found["explained"] += 1
            _check(explained, found)
            if step == 0:
                _count_tiers(explained, rows, now, tiers)
                if found["by_hand"] < BY_HAND and explained.score.points is not None:
                    found["by_hand"] += 1
                    plain = [dict(row._asdict()) for row in rows]
                    found["by_hand_wrong"] += page.points(plain, now) != explained.score.points
        if number % (sellers // TIMED or 1) == 0:
            ratios.append(_explain_over_score(rows, seller, artifact))
        if number % 1_000 == 999:
            say(f"{number + 1:,} of {sellers:,} sellers")
    names = ("explained", "rated", "without", "sum_wrong", "probation", "probation_without", "by_hand", "by_hand_wrong")
    figures: dict[str, float] = {f"reasons.{name}": found[name] for name in names}
    figures["reasons.sellers"] = figures.pop("reasons.explained")
    figures["reasons.explain_over_score"] = round(median(ratios), 2)
    whole = sum(tiers[tier.name] for tier in Tier)
    figures |= {f"reasons.tier.{tier.name.lower()}": round(tiers[tier.name] / whole, 4) for tier in Tier}
    figures["reasons.clean_trusted"] = round(tiers["clean_trusted"] / max(tiers["clean"], 1), 4)
    figures["reasons.probation_without_incident"] = tiers["probation_without_incident"]
    return figures


def _check(explained: Explanation, found: Counter[str]) -> None:
    answer, base = explained.score, explained.baseline_points
    if answer.points is None or base is None:
        return
    found["rated"] += 1
    costly = [reason for reason in explained.reasons if reason.points < 0]
    found["without"] += answer.points < base and not costly
    found["sum_wrong"] += base + sum(reason.points for reason in explained.reasons) != answer.points
    if answer.tier is Tier.PROBATION:
        found["probation"] += 1
        beside = {CLEAR_DAYS_PENDING, STANDING, OVERRIDDEN}.intersection(answer.reason_codes)
        found["probation_without"] += not beside and not any(r.incidents or r.entries or r.days for r in costly)


def _count_tiers(explained: Explanation, rows: list[FactRow], now: int, tiers: Counter[str]) -> None:
    answer = explained.score
    if answer.tier is None:
        return
    tiers[answer.tier.name] += 1
    tiers["probation_without_incident"] += answer.tier is Tier.PROBATION and not answer.counted_incidents
    days = [row.exposure_day for row in rows if row.exposure_day is not None and row.exposure_day < now // DAY]
    orders = sum(row.settled_orders or 0 for row in rows if (row.exposure_day or 0) < now // DAY)
    is_known = bool(days) and now // DAY - min(days) >= 90 and orders >= 25
    if is_known and not answer.counted_incidents and answer.state is ScoreState.RATED:
        tiers["clean"] += 1
        tiers["clean_trusted"] += answer.tier in RATED_TIERS[2:]


def _explain_over_score(rows: list[FactRow], seller: str, artifact: Artifact) -> float:
    best = {}
    gc.disable()
    for name, ask in (("score", lambda: score(rows, [seller], END, artifact, POLICY)),
                      ("explain", lambda: explain(rows, seller, END, artifact, POLICY))):  # fmt: skip
        times = []
        for _ in range(5):
            begin = process_time()
            ask()
            times.append(process_time() - begin)
        best[name] = min(times)
    gc.enable()
    return best["explain"] / best["score"]
