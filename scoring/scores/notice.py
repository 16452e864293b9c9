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
from scoring.policy.history import list_established
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


def list_ended_pairs(
    policy_moves: Iterable[Move],
    model_moves: Iterable[Move],
    model: str,
    policy: str,
    time: int,
    find_days: Callable[[str], int],
) -> list[EndedPair]:
    """Return what was served before a model and a policy, as far as its notice ran after the last move before a time.

    `time`: in microseconds. `policy_moves`, `model_moves`: all moves in order; those after the last one to `policy` and
    `model` are left out. `find_days` returns a policy's days of notice. A move has the longer notice of the policies
    before and after it. An immediate move ends the notices of all moves before it.
    """
    to_policy = _list_moves_up_to(policy_moves, policy, time)
    to_model = _list_moves_up_to(model_moves, model, time)
    moves = sorted(
        [*((move, True) for move in to_policy), *((move, False) for move in to_model)], key=lambda pair: pair[0].time
    )
    serving = {
        True: to_policy[0].before if to_policy else policy,
        False: to_model[0].before if to_model else model,
    }
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


def _list_moves_up_to(moves: Iterable[Move], digest: str, time: int) -> list[Move]:
    """Return the moves before a time, but for those after the last move to `digest`."""
    earlier_moves = [move for move in moves if move.time < time]
    last = max((number for number, move in enumerate(earlier_moves) if move.after == digest), default=-1)
    return earlier_moves[: last + 1]


class ServedPair(NamedTuple):
    artifact: Artifact | None
    policy: Policy
    time: int
    """When a later move ended it, in microseconds."""
    until: int


def answer_within_notice(
    core: CoreAnswer,
    earlier_pairs: Sequence[ServedPair],
    require_caller: Callable[[], None] = lambda: None,
    *,
    looks_back: bool = False,
) -> CoreAnswer:
    """Return `compute_answer`'s answer; while a notice runs, sellers keep a better tier by `earlier_pairs`."""
    if not earlier_pairs:
        return core
    newest_fact_times = _find_newest_fact_times(core)
    earlier = [
        EarlierAnswer(
            compute_answer(
                core.known, pair.artifact, pair.policy, require_caller=require_caller, looks_back=looks_back
            ),
            pair.time,
            pair.until,
            [newest_time < pair.time for newest_time in newest_fact_times],
        )
        for pair in earlier_pairs
    ]
    scores = [_keep_better_tier(core.policy, score, earlier, case) for case, score in enumerate(core.scores)]
    return replace(core, scores=scores, earlier=earlier)


def _find_newest_fact_times(core: CoreAnswer) -> list[int]:
    """Return, by seller, when its last fact that ends a notice became known, in microseconds; -1 without one.

    Such a fact is a confirmation, a change of control, or a lower level of the identity.
    """
    seller_facts = core.known
    rows, columns = seller_facts.table.rows, seller_facts.columns
    established = list_established(core.facts, rows, seller_facts.table.rows_by_case(), seller_facts.observe_time)
    newest = [max((violation.time for violation in violations), default=-1) for violations in established]
    control_columns = columns.take(np.isin(columns.kind, (Kind.CONTROL, Kind.IDENTITY)))
    for case in np.unique(control_columns.case).tolist():
        times = [sign.time for sign in list_signs_of_control(control_columns.take(control_columns.case == case), rows)]
        newest[case] = max([newest[case], *(time for time in times if time <= seller_facts.observe_time)])
    return newest


def _keep_better_tier(
    policy: Policy, score: SellerScore | None, earlier_answers: Sequence[EarlierAnswer], case: int
) -> SellerScore | None:
    if score is None or score.tier is None or score.override:
        return score
    earlier_tiers = [
        (earlier_score.tier, answer.until)
        for answer in earlier_answers
        if answer.counts[case]
        and (earlier_score := answer.core.scores[case]) is not None
        and earlier_score.tier is not None
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
