"""score(): facts in, trust score out. One pure function for one seller and for many; no clock, no file, no network."""

from collections.abc import Mapping, Sequence

import numpy as np

from scoring.answer import Explanation, ThinFile, TrustScore
from scoring.artifact import Artifact
from scoring.columns import FactRow, columns_of
from scoring.facts import Facts, resolve
from scoring.features import matrix
from scoring.policy import Policy
from scoring.reasons import CLEAR_DAYS_PENDING, NO_MODEL, THIN_FILE, incidents_of, reason_codes, reasons_of
from scoring.time import DAY
from scoring.words import ScoreState, Tier


def score(
    rows: Sequence[FactRow],
    sellers: Sequence[str],
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
) -> list[TrustScore | None]:
    """Trust scores of `sellers`, in their order, from the ledger's rows about them; None: nothing stands of the seller.

    `observe_time` in microseconds. Without an artifact the state is UNKNOWN and there are no points.
    """
    facts = _views(rows, sellers, observe_time, policy.clear_days if artifact else 0)
    n = len(sellers)
    counted: list[list[int]] = [[] for _ in range(n)]
    for place, case in enumerate(facts.violations.case.tolist()):
        if case < n:
            counted[case].append(place)
    if artifact is None:
        return [_unknown(facts, case, counted[case], policy) if facts.exists[case] else None for case in range(n)]

    sums = artifact.folder.fold(facts)
    raw = artifact.raw_score(matrix(sums, artifact.features, _attributes(rows, facts)))
    points = artifact.scale.points(raw).reshape(-1, n)  # now, then the day-ends, last: now if upheld
    is_guilty = np.bincount(facts.violations.case, minlength=facts.cases) > 0
    is_thin = (sums.total_orders < policy.thin_file_orders) | (sums.tenure_days < policy.thin_file_days)
    rated = (is_guilty | ~is_thin).reshape(-1, n)

    answers: list[TrustScore | None] = []
    for case in range(n):
        if not facts.exists[case]:
            answers.append(None)
            continue
        incidents = incidents_of(facts.violations, counted[case])
        codes = reason_codes(incidents)
        allegations = int(facts.allegations[case])
        if not rated[0, case]:
            badge = policy.badges[Tier.UNRATED]
            answers.append(
                TrustScore(
                    ScoreState.UNRATED,
                    Tier.UNRATED,
                    badge,
                    reason_codes=(THIN_FILE,),
                    open_allegations=allegations,
                )
            )
            continue
        now = int(points[0, case])
        lowest = int(points[:-1, case][rated[:-1, case]].min())
        tier = policy.tier(lowest)
        if tier != policy.tier(now):
            codes = (*codes, CLEAR_DAYS_PENDING)
        answers.append(
            TrustScore(
                state=ScoreState.RATED,
                tier=tier,
                badge=policy.badges[tier],
                points=now,
                points_if_upheld=int(points[-1, case]),
                tier_points=lowest,
                p_bad=artifact.scale.p_bad(float(raw[case])),
                reason_codes=codes,
                counted_incidents=len(incidents),
                open_allegations=allegations,
            )
        )
    return answers


def explain(
    rows: Sequence[FactRow], seller: str, observe_time: int, artifact: Artifact | None, policy: Policy
) -> Explanation | None:
    """The trust score of one seller with the facts behind every point; None: nothing stands of the seller."""
    answer = score(rows, [seller], observe_time, artifact, policy)[0]
    if answer is None:
        return None
    facts = resolve(columns_of(rows, [seller]), np.array([observe_time], dtype=np.int64))
    if answer.state is ScoreState.UNRATED:
        thin = ThinFile(
            settled_orders=int(facts.exposure_orders.sum()),
            settled_orders_needed=policy.thin_file_orders,
            tenure_days=int(facts.observe_day[0] - facts.start_day[0]),
            tenure_days_needed=policy.thin_file_days,
        )
        return Explanation(answer, thin_file=thin)
    if artifact is None:
        return Explanation(answer)
    reasons = reasons_of(facts, artifact, rows, _attributes(rows, facts)[0])
    return Explanation(answer, artifact.baseline_points, reasons)


def _views(rows: Sequence[FactRow], sellers: Sequence[str], observe_time: int, day_ends: int) -> Facts:
    """Facts of every seller now, at the last `day_ends` day-ends, and now if every allegation were upheld.

    View k of seller i is case `k * len(sellers) + i`. All by the same knowledge: a day-end is seen as of today.
    """
    today = observe_time // DAY * DAY
    times = [observe_time, *(today - k * DAY for k in range(day_ends)), observe_time]
    upheld = np.zeros(len(times), dtype=bool)
    upheld[-1] = True
    columns = columns_of(rows, sellers).repeat(len(times))
    n = len(sellers)
    return resolve(columns, np.repeat(np.array(times, dtype=np.int64), n), upheld=np.repeat(upheld, n))


def _attributes(rows: Sequence[FactRow], facts: Facts) -> list[Mapping[str, str]]:
    return [(rows[row].attributes or {}) if row >= 0 else {} for row in facts.identity_row.tolist()]


def _unknown(facts: Facts, case: int, counted: Sequence[int], policy: Policy) -> TrustScore:
    return TrustScore(
        state=ScoreState.UNKNOWN,
        tier=None,
        badge=policy.badges[None],
        reason_codes=(NO_MODEL,),
        counted_incidents=len(incidents_of(facts.violations, counted)),
        open_allegations=int(facts.allegations[case]),
    )
