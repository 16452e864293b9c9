"""Notice: what a move of the policy or the model alone makes stricter waits some days.

Until then a seller keeps the laxer of the answers before and after the move, on the same facts. This gives its tier;
`scoring.measures.in_force` gives its reviews and listings. Money and badges never wait.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from scoring.base.enums import Kind
from scoring.base.time import DAY
from scoring.caution.signs import list_signs_of_control
from scoring.model.artifact import Artifact
from scoring.policy.history import establish
from scoring.policy.policy import Policy
from scoring.scores.answer import Notice, SellerScore
from scoring.scores.reasons import NOTICE
from scoring.scores.score import CoreAnswer, EarlierAnswer, compute_answer


class Move(NamedTuple):
    time: int
    """In microseconds."""
    before: str
    """A digest, as `after`; empty for no model. The policy of the first commit replaces the first server's file policy."""
    after: str
    is_immediate: bool = False


class EndedPair(NamedTuple):
    """Model and policy before a move whose notice runs; digests."""

    model: str
    policy: str
    time: int
    """When the move happened, in microseconds."""
    until: int


def list_ended(
    policies: Iterable[Move],
    models: Iterable[Move],
    model: str,
    policy: str,
    time: int,
    find_days: Callable[[str], int],
) -> list[EndedPair]:
    """Return what was served before a model and a policy, as far as its notice ran after the last move before a time.

    `time`: in microseconds. `policies`, `models`: all moves in order; those after the last one to `policy` and `model`
    are left out. `find_days` returns a policy's days of notice. A move has the longer notice of the policies before and
    after it. An immediate move ends the notices of all moves before it.
    """
    by_policy, by_model = _list_until(policies, policy, time), _list_until(models, model, time)
    moves = sorted(
        [*((one, True) for one in by_policy), *((one, False) for one in by_model)], key=lambda one: one[0].time
    )
    serving = {True: by_policy[0].before if by_policy else policy, False: by_model[0].before if by_model else model}
    ended: dict[tuple[str, str], EndedPair] = {}
    for move, is_policy in moves:
        before = serving[False], serving[True]
        serving[is_policy] = move.after
        if move.is_immediate:
            ended.clear()
            continue
        if days := max(find_days(before[1]), find_days(serving[True])):
            ended[before] = EndedPair(*before, move.time, -(-(move.time + days * DAY) // DAY) * DAY)
    return [one for pair, one in ended.items() if pair != (model, policy) and one.until > moves[-1][0].time]


def _list_until(moves: Iterable[Move], after: str, time: int) -> list[Move]:
    earlier_moves = [move for move in moves if move.time < time]
    last = max((number for number, move in enumerate(earlier_moves) if move.after == after), default=-1)
    return earlier_moves[: last + 1]


class ServedPair(NamedTuple):
    artifact: Artifact | None
    policy: Policy
    time: int
    """When a later move ended it, in microseconds."""
    until: int


def answer_within_notice(
    core: CoreAnswer,
    served: Sequence[ServedPair],
    check: Callable[[], None] = lambda: None,
    *,
    looks_back: bool = False,
) -> CoreAnswer:
    """Return `compute_answer`'s answer; while a notice runs, sellers keep a better tier by what was `served` before."""
    if not served:
        return core
    ended_by = _find_newest_facts(core)
    earlier = [
        EarlierAnswer(
            compute_answer(core.known, one.artifact, one.policy, check=check, looks_back=looks_back),
            one.time,
            one.until,
            [time < one.time for time in ended_by],
        )
        for one in served
    ]
    scores = [_keep_tier(core.policy, score, earlier, case) for case, score in enumerate(core.scores)]
    return replace(core, scores=scores, earlier=earlier)


def _find_newest_facts(core: CoreAnswer) -> list[int]:
    """Return, by seller, when its last fact that ends a notice became known, in microseconds; -1 without one.

    Such a fact is a confirmation, a change of control, or a lower level of the identity.
    """
    seller_facts = core.known
    rows, columns = seller_facts.table.rows, seller_facts.columns
    established = establish(core.facts, rows, seller_facts.table.rows_by_case(), seller_facts.observe_time)
    newest = [max((one.time for one in violations), default=-1) for violations in established]
    about = columns.take(np.isin(columns.kind, (Kind.CONTROL, Kind.IDENTITY)))
    for case in np.unique(about.case).tolist():
        times = [sign.time for sign in list_signs_of_control(about.take(about.case == case), rows)]
        newest[case] = max([newest[case], *(time for time in times if time <= seller_facts.observe_time)])
    return newest


def _keep_tier(
    policy: Policy, score: SellerScore | None, earlier: Sequence[EarlierAnswer], case: int
) -> SellerScore | None:
    if score is None or score.tier is None or score.override:
        return score
    earlier_tiers = [
        (before.tier, one.until)
        for one in earlier
        if one.counts[case] and (before := one.core.scores[case]) is not None and before.tier is not None
    ]
    better = [until for tier, until in earlier_tiers if tier > score.tier]
    if not better:
        return score
    tier, until = max(tier for tier, _ in earlier_tiers), min(better)
    return replace(
        score,
        tier=tier,
        band=policy.find_band(tier, score.tier_points),
        notice=Notice(score.tier, until),
        reason_codes=(*score.reason_codes, NOTICE),
    )
