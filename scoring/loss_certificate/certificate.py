from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from operator import itemgetter

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.canonical import JsonObject, canonical_json
from scoring.base.enums import MeasureKind, Tier
from scoring.base.errors import CertificateRefused
from scoring.base.frozen import frozen
from scoring.base.progress import Progress
from scoring.base.time import format_time
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX
from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.independent.world import NOT_COVERED, UNCOUNTED_DEPOSITS
from scoring.loss_certificate.solving import (
    LossTable,
    find_released_by_run_day,
    find_run_gain,
    list_entries,
    solve,
    solve_running,
    solve_stages,
)
from scoring.loss_certificate.states import TIERS, States, build_stages, build_states, restrict_to_tier
from scoring.policy.policy import Policy, TradeLimits

NO_TIER = "none"


@frozen
class Take:
    """The most that one run takes."""

    gross_minor: int
    after_refunds_minor: int
    """Less held money and deposit; at least 0."""


def join_largest(takes: Iterable[Take]) -> Take:
    """Return the largest gross and the largest net amount, maybe of different takes."""
    all_takes = [*takes]
    return Take(max(take.gross_minor for take in all_takes), max(take.after_refunds_minor for take in all_takes))


def find_takes(policy: Policy, states: States, assumptions: Assumptions) -> dict[str, Take]:
    """Return the largest take by tier's name, with any history; the largest bounds every override."""
    takes = {}
    for tier in TIERS:
        of_tier = restrict_to_tier(states, policy, assumptions, tier)
        running = solve_running(of_tier, np.zeros(len(states.settled), dtype=np.int64), of_tier.bound_ahead(0))
        cap = max(one.cap_minor for row in of_tier.granted for one in row)
        net = int(find_run_gain(of_tier, running[0]).max())
        name = NO_TIER if tier is None else tier.word
        takes[name] = Take(cap * (states.run_days + states.notice_days), max(net, 0))
    return takes


@frozen
class GrantedSeller:
    """A seller to whom persons gave a tier, or whose measures they lifted."""

    marketplace: str
    seller: str
    tier: Tier | None
    until: int | None
    """The end of a person's tier, in microseconds."""
    lifted: frozenset[tuple[str, MeasureKind]]
    """(rule, kind) of each measure."""


@frozen
class GrantedExceptions:
    sequence: int
    sellers: tuple[GrantedSeller, ...]


def read_lifted(names: Collection[str]) -> frozenset[tuple[str, MeasureKind]]:
    """Return (rule, kind) of measures by their recorded ids: `rule~newcomers~deposit~` and 16 digits.

    A caution's rule, `caution~` and its id, is outside policies and moves no bound. Ids of another form are skipped.
    """
    parts = (name.removeprefix(RULE_MEASURE_PREFIX).rsplit("~", 2) for name in names)
    kinds = {kind.word: kind for kind in MeasureKind}
    return frozenset((part[0], kinds[part[1]]) for part in parts if len(part) == 3 and part[1] in kinds)


def show_granted(
    policy: Policy, assumptions: Assumptions, granted: GrantedExceptions | None, largest: Take
) -> JsonObject | None:
    """Return `sequence` and `sellers`, the grants, as JSON values; None if `granted` is None.

    Each seller's `most` is its largest take, an object of Take's fields, or None if unbounded. `is_within`: whether it
    is at most `largest`, that of all other sellers. Sellers with neither a tier nor a lifted measure of this policy are
    left out.
    """
    if granted is None:
        return None
    stated = {(rule.id, measure.kind) for rule in policy.rule_book.rules for measure in rule.measures}
    take_of_lifted: dict[frozenset[tuple[str, MeasureKind]], Take | None] = {}
    shown = []
    for seller in granted.sellers:
        lifted = seller.lifted & stated
        if seller.tier is None and not lifted:
            continue
        if lifted not in take_of_lifted:
            take_of_lifted[lifted] = bound_take(policy, assumptions, lifted)
        take = take_of_lifted[lifted]
        kinds = sorted((rule, kind.word) for rule, kind in lifted)
        shown.append(
            {
                "marketplace": seller.marketplace,
                "seller": seller.seller,
                "tier": None if seller.tier is None else seller.tier.word,
                "until": None if seller.until is None else format_time(seller.until),
                "lifted": [{"rule": rule, "kind": kind} for rule, kind in kinds],
                "most": None if take is None else asdict(take),
                "is_within": take is not None and join_largest([take, largest]) == largest,
            }
        )
    return {"sequence": granted.sequence, "sellers": shown}


def bound_take(policy: Policy, assumptions: Assumptions, lifted: Collection[tuple[str, MeasureKind]]) -> Take | None:
    """Return the largest take with lifted measures, at any tier and history; None if unbounded."""
    lifted = {*lifted} | {
        (rule.secures, MeasureKind.DEPOSIT)  # a deposit that no rule awaits may be missing
        for rule in policy.rule_book.rules
        if (rule.id, MeasureKind.VALUE_CAP) in lifted and rule.secures
    }
    rules = tuple(
        replace(rule, measures=tuple(m for m in rule.measures if (rule.id, m.kind) not in lifted))
        for rule in policy.rule_book.rules
    )
    without = replace(policy, rule_book=replace(policy.rule_book, rules=rules))
    try:
        return join_largest(find_takes(without, build_states(without, assumptions), assumptions).values())
    except CertificateRefused:
        return None


@frozen
class RunDay:
    settled_minor: int
    tenure_days: int
    captured_minor: int
    released_minor: int
    """Paid out before the stop, without payouts on young orders."""
    washed_minor: int
    """Sales to itself that settle by the next day."""


@frozen
class Attack:
    """One name's most profitable life; costs are negative."""

    entered_with_minor: int
    """Settled value at entry, as of a bought history."""
    entry_cash_minor: int
    """Without its deposit."""
    deposit_minor: int
    history_cash_minor: int
    """The cost of a faked history before the run; 0 if it is real."""
    days: tuple[RunDay, ...]
    ended_with_minor: int
    """Settled value at the run's end."""
    ended_after_days: int
    """Tenure at the run's end."""
    ahead_minor: int
    """Paid out on young orders before the stop, less the cost of the history that raises their limit to it."""
    run_cash_minor: int
    """Less the cost of sales faked meanwhile."""


def find_attack(states: States, assumptions: Assumptions, table: LossTable) -> Attack:
    """Return the best attack of one name, whether it pays or not."""
    gain, price = find_run_gain(states, table.running[0]), table.price
    net_gain = gain - price[:, None]
    best_of_later_buckets = np.maximum.accumulate(net_gain[::-1], axis=0)[::-1]
    best_later = np.maximum.accumulate(best_of_later_buckets[:, ::-1], axis=1)[:, ::-1]
    options = []
    for (bucket, tenure, deposit), cash in list_entries(states, assumptions):
        total = cash + states.deposits[deposit] + int(best_later[bucket, tenure] + price[bucket])
        options.append((total, bucket, tenure))
    total, bucket, tenure = max(options, key=itemgetter(0))
    later_net_gains = net_gain[bucket:, tenure:]
    best_place = np.argwhere(later_net_gains == later_net_gains.max())[-1]
    start = (bucket + int(best_place[0]), tenure + int(best_place[1]))
    run_cash = int(table.running[0][start])
    history = int(price[bucket] - price[start[0]])
    deposit = run_cash - int(gain[start])
    days, end = _follow_run(states, table, start)
    return Attack(
        entered_with_minor=states.settled[bucket],
        entry_cash_minor=total - (run_cash + history - deposit),
        deposit_minor=deposit,
        history_cash_minor=history,
        days=days,
        ended_with_minor=states.settled[end[0]],
        ended_after_days=states.tenure[end[1]],
        ahead_minor=int(table.ahead[end]),
        run_cash_minor=run_cash,
    )


def _follow_run(states: States, table: LossTable, start: tuple[int, int]) -> tuple[tuple[RunDay, ...], tuple[int, int]]:
    """Return the best run's days from `start`, read back from its table, and its last state."""
    released = find_released_by_run_day(states)
    bucket, tenure = start
    days = []
    for day in range(states.run_days):
        following = table.running[day + 1] if day + 1 < states.run_days else table.ahead
        wanted = int(table.running[day][bucket, tenure] - released[day, bucket, tenure])
        price_of_growth = table.price if day < states.trade.claim_days else np.zeros_like(table.price)
        next_state = _find_next_state(states, following, price_of_growth, wanted, bucket, tenure)
        days.append(
            RunDay(
                settled_minor=states.settled[bucket],
                tenure_days=states.tenure[tenure],
                captured_minor=states.granted[bucket][tenure].cap_minor,
                released_minor=int(released[day, bucket, tenure]),
                washed_minor=states.settled[next_state[0]] - states.settled[bucket],
            )
        )
        bucket, tenure = next_state
    return tuple(days), (bucket, tenure)


def _find_next_state(
    states: States, following: Ints, price_of_growth: Ints, wanted: int, bucket: int, tenure: int
) -> tuple[int, int]:
    """Return the state of the next day whose edge gives the `wanted` value."""
    for next_bucket in range(bucket, states.find_farthest_bucket(bucket, tenure) + 1):
        growth = price_of_growth[next_bucket] - price_of_growth[bucket]
        for next_tenure in range(tenure, min(tenure + 2, len(states.tenure))):
            if int(following[next_bucket, next_tenure] - growth) == wanted:
                return next_bucket, next_tenure
    raise AssertionError("the table has a state that no edge leads out of")


FORMAT = "loss-certificate@4"
VERDICTS = {"against_faked_history": False, "unconditional": True}
"""By verdict, whether days of real trade are among the edges."""

GRANTED = "granted"
"""Names the loss from grants to single sellers beyond the bound."""


def certify(
    policy: Policy,
    assumptions: Assumptions,
    accepted: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    granted: GrantedExceptions | None = None,
    older: Sequence[Policy] = (),
) -> JsonObject:
    """Return the loss certificate of a policy under assumptions, as data for JSON.

    `accepted`: by failed verdict, the accepting person. `older`: policies under which a run may continue, the oldest
    first. Raise CertificateRefused if none is possible, or an accepted verdict holds.
    """
    states = build_states(policy, assumptions)
    tables = {
        name: solve(states, assumptions, real, progress and partial(progress, f"solve {name}"))
        for name, real in VERDICTS.items()
    }
    takes = find_takes(policy, states, assumptions)
    largest = join_largest(takes.values())
    is_uncounted = bool(policy.rule_book.share_days or (policy.trade and policy.trade.deposit_refill_days))
    content = {
        "format": FORMAT,
        "policy": _identify_policy(policy),
        "currency": assumptions.currency,
        "assumptions": assumptions.data,
        "most_loss_minor": states.trade.most_loss_minor,
        "run_days": states.run_days,
        "notice_days": states.notice_days,
        "settled": list(states.settled),
        "tenure": list(states.tenure),
        "deposits": list(states.deposits),
        "verdicts": {
            name: _show_verdict(table, states.trade) | {"attack": asdict(find_attack(states, assumptions, table))}
            for name, table in tables.items()
        },
        "temptation_minor": find_run_gain(states, tables["unconditional"].running[0]).tolist(),
        "takes": {
            "by_tier": {name: asdict(take) for name, take in takes.items()},
            "largest": asdict(largest),
            "runners": assumptions.runners,
            "runners_on_one_day": {key: value * assumptions.runners for key, value in asdict(largest).items()},
        },
        "granted": show_granted(policy, assumptions, granted, largest),
        "sequence": add_up_sequence(policy, assumptions, older) if older else None,
        "overturned_ppm": assumptions.overturned_ppm,
        "not_covered": [*NOT_COVERED, *([UNCOUNTED_DEPOSITS] if is_uncounted else ())],
    }
    return accept(content, accepted or {})


def accept(certificate: JsonObject, accepted: Mapping[str, str]) -> JsonObject:
    """Return a certificate with the accepting persons, the sums, and its digest.

    Raise CertificateRefused unless each verdict exists, fails and has a sum.
    """
    names, losses = [*certificate["verdicts"], GRANTED], list_excess_losses(certificate)
    for name in accepted:
        if name not in names:
            raise CertificateRefused(f"{name} is no verdict: there are {', '.join(names)}")
        if name not in losses:
            raise CertificateRefused(f"{name} holds, and there is nothing to accept")
        if losses[name] is None:
            raise CertificateRefused(
                f"{name} has no sum to accept: nothing bounds a day of a seller whose limit was lifted; take the lift back"
            )
    by_name = [{"verdict": name, "by": by, "most_minor": losses[name]} for name, by in sorted(accepted.items())]
    content = {**certificate, "accepted": by_name}
    return content | {"digest": digest_certificate(content)}


def digest_certificate(content: JsonObject) -> str:
    return sha256(canonical_json({key: value for key, value in content.items() if key != "digest"})).hexdigest()


def list_failed(certificate: JsonObject) -> list[str]:
    """Return the verdicts that fail and that no person accepted, `granted` included."""
    by = {one["verdict"] for one in certificate["accepted"]}
    return [name for name in list_excess_losses(certificate) if name not in by]


def list_excess_losses(certificate: JsonObject) -> dict[str, int | None]:
    """Return, by failed verdict, the most that one name can get; None if it is unbounded.

    While older runs continue, it is the sum of the whole sequence, or a verdict's own if the older policies alone allow
    as much.
    """
    sequence = certificate["sequence"] or {"most_minor": {}, "before_minor": {}}
    most = {name: one["most_minor"] for name, one in certificate["verdicts"].items()}
    most |= {name: sum_ for name, sum_ in sequence["most_minor"].items() if sum_ > sequence["before_minor"][name]}
    allowed = certificate["most_loss_minor"]
    losses: dict[str, int | None] = {name: sum_ for name, sum_ in most.items() if sum_ > allowed * VERDICTS[name]}
    beyond = [one["most"] for one in (certificate[GRANTED] or {"sellers": ()})["sellers"] if not one["is_within"]]
    if beyond:
        losses[GRANTED] = None if None in beyond else max(most["after_refunds_minor"] for most in beyond)
    return losses


def _identify_policy(policy: Policy) -> JsonObject:
    return {"name": policy.name, "version": policy.version, "digest": policy.digest}


def add_up_sequence(policy: Policy, assumptions: Assumptions, older: Sequence[Policy]) -> JsonObject:
    """Return the most that a run across `older` policies and this one takes, by verdict, in minor units.

    Raise CertificateRefused as `certify`.
    """
    stages, before = build_stages([*older, policy], assumptions), build_stages(older, assumptions)
    return {
        "older": [_identify_policy(one) for one in older],
        "run_days": stages[0].run_days,
        "most_minor": {name: solve_stages(stages, assumptions, real) for name, real in VERDICTS.items()},
        "before_minor": {name: solve_stages(before, assumptions, real) for name, real in VERDICTS.items()},
    }


def find_allowed_loss(trade: TradeLimits, history_is_real: bool) -> int:
    """Return the most, in minor units, that one name may get for a verdict to hold; 0 unless real trade counts."""
    return trade.most_loss_minor if history_is_real else 0


def _show_verdict(table: LossTable, trade: TradeLimits) -> JsonObject:
    return {
        "holds": table.fresh <= find_allowed_loss(trade, table.history_is_real),
        "most_minor": table.fresh,
        "building": table.building.tolist(),
        "running": table.running.tolist(),
        "ahead": table.ahead.tolist(),
    }
