from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from scoring.answers.forecast import Course, Forecasts
from scoring.answers.variants import Variant, resolve_variants
from scoring.answers.whole import WholeAnswer
from scoring.base.enums import Action, Category, IdentityLevel, Severity, Status, Tier
from scoring.base.frozen import frozen
from scoring.entries.lifecycle import COUNTING_STATUSES, TRANSITIONS
from scoring.features.columns import FactRow
from scoring.features.table import Subject
from scoring.features.violations import trace_statuses
from scoring.scores.answer import Explanation, SellerScore
from scoring.scores.reasons import OVERRIDDEN, STANDING, THIN_FILE
from scoring.scores.score import compute_answer

MAX_LEADS = 4
"""More than four are unlikely to help a reader (Regulation B, commentary on 1002.9)."""

MAX_GIVEN_BACK = 20

_LEVELS = (IdentityLevel.BASIC, IdentityLevel.BUSINESS, IdentityLevel.ENHANCED)

_REMEDIES = {
    Subject.FAILURES: Course(trades=True),
    Subject.INSPECTIONS: Course(trades=True),
    Subject.DISPUTES: Course(trades=True),
    Subject.ORDERS: Course(trades=True),
    THIN_FILE: Course(trades=True),
    Subject.TENURE: Course(),
}
"""By reason; the remedy for any other is to trade cleanly."""

_TIER_REASONS = frozenset({STANDING, OVERRIDDEN, THIN_FILE})
"""Reasons that decide the tier whatever the points."""


@frozen
class Lead:
    """A possible cause of a lower answer. Untested until `find_leads` answers without it, or once its lack ends."""

    reason_code: str
    points: int
    """That the answer would gain without it, negated; of an incident by an exact refold."""
    entries: tuple[str, ...] = ()
    caused: bool = False
    """Whether that test bettered the answer as said."""
    responsive: bool = False
    """Whether one act of the seller moves the tier within the days ahead."""
    contestable: bool = False
    """Whether an appeal is open or pending."""
    ends: int | None = None
    """When it ends by itself, in microseconds; None: it fades, or has no end."""
    counted: int = 0
    compared: int = 0
    category: Category | None = None
    """From the incident, like the next two."""
    severity: Severity | None = None
    occur_time: int = 0


@frozen
class OverturnGain:
    violation: str
    points: int
    """That the score would lose if the decision still stood."""


def find_leads(
    answer: WholeAnswer,
    explanation: Explanation,
    forecasts: Forecasts | None,
    require_caller: Callable[[], None] = lambda: None,
) -> list[Lead]:
    """Return the leading reasons: reasons of the tier first, then the costliest.

    Of the first MAX_LEADS each is tested by a score without its entries, or by forecasts if no score can leave it out. A
    reason with entries that changes nothing is left out.
    """
    leads = sorted(
        list_untested_leads(answer, explanation),
        key=lambda lead: (lead.reason_code not in _TIER_REASONS, lead.points, lead.reason_code),
    )[:MAX_LEADS]
    variants = [_build_variant_without(lead) for lead in leads]
    tested = [variant for variant in variants if variant is not None]
    scores = iter(score_variants(answer, tested, require_caller))
    chosen = []
    for lead, variant in zip(leads, variants, strict=True):
        courses = _list_remedies(lead)
        if variant is None:
            is_cause = forecasts is not None and any(map(forecasts.improves, courses))
        else:
            is_cause = _changes_as_said(lead, answer.score, next(scores))
        if lead.entries and not is_cause:  # as when points end at 0 without it too
            continue
        is_responsive = forecasts is not None and any(forecasts.reaches_better_tier(course) for course in courses)
        chosen.append(replace(lead, caused=is_cause or lead.caused, responsive=is_responsive or lead.responsive))
    return chosen


def list_untested_leads(answer: WholeAnswer, explanation: Explanation) -> Iterator[Lead]:
    """Yield each reason of the points, incidents one by one, then of the tier, untested.

    Incidents that cost no points are left out.
    """
    score, rows = answer.score, answer.core.known.table.rows
    ends = {entry: part.until for part in answer.in_force.standing_parts for entry in part.entries}
    status = _find_last_statuses(rows)
    for reason in explanation.reasons:
        if not reason.incidents and reason.points < 0:
            yield Lead(
                reason.reason_code, reason.points, reason.entries, counted=reason.counted, compared=reason.compared
            )
        for effect in reason.incidents:
            if not effect.points_if_overturned:
                continue
            yield Lead(
                reason.reason_code,
                -effect.points_if_overturned,
                effect.entries,
                contestable=any(status.get(entry) in COUNTING_STATUSES for entry in effect.entries),
                ends=next((ends[entry] for entry in effect.entries if entry in ends), None),
                category=effect.category,
                severity=effect.severity,
                occur_time=effect.occur_time,
            )
    if explanation.thin_file is not None:
        thin = explanation.thin_file
        is_old_enough = thin.tenure_days >= thin.tenure_days_needed
        yield Lead(
            THIN_FILE,
            0,
            counted=thin.settled_orders,
            compared=thin.settled_orders_needed,
            caused=is_old_enough,  # orders alone are lacking
            responsive=is_old_enough and not score.override,
        )
    if STANDING in score.reason_codes:
        parts = answer.in_force.standing_parts
        entries = tuple(entry for part in parts for entry in part.entries)
        last = max((part.until for part in parts), default=None)
        is_open = any(status.get(entry) in COUNTING_STATUSES for entry in entries)
        yield Lead(STANDING, 0, entries, contestable=is_open, ends=last, counted=score.standing or 0)
    if score.override:
        until = int(answer.core.facts.override_until[0])
        yield Lead(OVERRIDDEN, 0, (score.override,), ends=until)


def _find_last_statuses(rows: Sequence[FactRow]) -> dict[str, Status]:
    return {step.violation: step.status for step in trace_statuses(rows)}


def _build_variant_without(lead: Lead) -> Variant | None:
    """Return the facts without the lead's entries; None if only a forecast can test it."""
    if lead.reason_code == Subject.FAILURES:
        return Variant(without_failures=True)
    if lead.entries and lead.reason_code not in {Subject.IDENTITY, Subject.ATTRIBUTES}:
        return Variant(without=frozenset(lead.entries))
    return None


def score_variants(
    answer: WholeAnswer, variants: Sequence[Variant], require_caller: Callable[[], None]
) -> list[SellerScore | None]:
    if not variants:
        return []
    core = answer.core
    variant_facts = resolve_variants(core.known, variants, core.known.observe_time)
    return list(compute_answer(variant_facts, core.artifact, core.policy, require_caller=require_caller).scores)


def _changes_as_said(lead: Lead, score: SellerScore, score_without: SellerScore | None) -> bool:
    """Return whether the score without the lead's entries is as much better as it says."""
    if score_without is None or score_without.state is not score.state:
        return True
    if lead.category is not None:
        return (score_without.points or 0) - (score.points or 0) == -lead.points
    if lead.reason_code in {STANDING, OVERRIDDEN}:
        return (
            score_without.own_tier != score.own_tier
            or score_without.override != score.override
            or score_without.standing != score.standing
        )
    return (score_without.points or 0) > (score.points or 0)


def _list_remedies(lead: Lead) -> list[Course]:
    if lead.reason_code in {Subject.IDENTITY, Subject.ATTRIBUTES}:
        return [Course(level=level) for level in _LEVELS]
    if lead.reason_code == OVERRIDDEN:
        return []
    return [_REMEDIES.get(lead.reason_code, Course(trades=True))]


@frozen
class AppealEffect:
    entries: tuple[str, ...]
    points: int
    tier: Tier | None
    violations: tuple[str, ...]
    """Open to appeal."""


def list_appeals(
    answer: WholeAnswer, explanation: Explanation, require_caller: Callable[[], None] = lambda: None
) -> list[AppealEffect]:
    """Return the points that each incident open to or under appeal costs, and the tier without it.

    The largest effect is first, at most MAX_LEADS.
    """
    leads = [
        lead for lead in list_untested_leads(answer, explanation) if lead.contestable and lead.category is not None
    ]
    leads = sorted(leads, key=lambda lead: (lead.points, lead.entries))[:MAX_LEADS]
    scores = score_variants(answer, [Variant(without=frozenset(lead.entries)) for lead in leads], require_caller)
    status = _find_last_statuses(answer.core.known.table.rows)
    return [
        AppealEffect(
            lead.entries,
            -lead.points,
            score.tier if score is not None else None,
            tuple(entry for entry in lead.entries if entry in status and Action.APPEAL in TRANSITIONS[status[entry]]),
        )
        for lead, score in zip(leads, scores, strict=True)
    ]


def list_overturn_gains(answer: WholeAnswer, require_caller: Callable[[], None] = lambda: None) -> list[OverturnGain]:
    """Return confirmed violations overturned later, and the points (0 or more) that each gave back.

    The latest MAX_GIVEN_BACK overturns, oldest first.
    """
    confirmed: set[str] = set()
    taken_back: dict[str, str] = {}
    for violation, row, status, _ in trace_statuses(answer.core.known.table.rows):
        if status in COUNTING_STATUSES:
            confirmed.add(violation)
            taken_back.pop(violation, None)
        elif row.status == Status.OVERTURNED and violation in confirmed:
            taken_back[violation] = row.entry_id
    latest = [*taken_back.items()][-MAX_GIVEN_BACK:]
    scores = score_variants(answer, [Variant(without=frozenset([entry])) for _, entry in latest], require_caller)
    now = answer.score.points or 0
    return [
        OverturnGain(violation, max(now - (score.points or 0), 0) if score is not None else 0)
        for (violation, _), score in zip(latest, scores, strict=True)
    ]
