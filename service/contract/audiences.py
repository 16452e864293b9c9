"""The parts of an answer that each reader may see."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from scoring.answers.leads import Lead, OverturnGain
from scoring.answers.statements import find_barred_violations, find_bars
from scoring.answers.whole import WholeAnswer
from scoring.base.canonical import parse_json
from scoring.base.enums import AUTHORITIES, Source, Status, Tier
from scoring.base.errors import invalid
from scoring.base.frozen import frozen
from scoring.base.money import format_amount
from scoring.base.time import DAY, format_day
from scoring.measures.listed import MeasureInForce, list_binding
from scoring.model.artifact import Artifact
from scoring.policy.measures import (
    Deposit,
    IntakeCap,
    ListingCap,
    Measure,
    PaidAheadLimit,
    RollingReserve,
    Suspension,
    UnvaluedMeasure,
    ValueCap,
)
from scoring.scores.answer import SellerScore
from scoring.scores.reasons import THIN_FILE
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import measure_service_pb2 as measure_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.contract.fields import message_of
from service.contract.texts import Texts, day_text
from service.ledger.records import ViolationView

_HIDDEN_FROM_SELLERS = ("cautions", "open_allegations", "points_if_upheld", "points_low", "points_high", "p_bad")
"""Suspicions and reports that nobody decided, and what would help to go unseen."""

OWN_SOURCES = frozenset({Source.TEST_BUY, Source.RANDOM_AUDIT, Source.PLATFORM_DETECTION})
_NAMED_SOURCES = AUTHORITIES | {Source.BRAND}
"""Sources named to the seller, because the two have something to settle."""


def require_audience(audience: int, allowed: Iterable[int] = tuple(score_pb.Audience.values())) -> None:
    """Raise InvalidInput unless the method knows the audience."""
    if audience not in allowed:
        raise invalid("audience", "is none of those that this method answers")


def hide_from_seller(score: score_pb.TrustScore) -> score_pb.TrustScore:
    """Clear what sellers must not see, in the message itself; return it."""
    for field in _HIDDEN_FROM_SELLERS:
        score.ClearField(field)  # type: ignore[arg-type]
    return score


def hide_grounds_from_seller(
    response: measure_pb.EvaluateMeasuresResponse, barred: Container[str]
) -> measure_pb.EvaluateMeasuresResponse:
    """Clear signals of cautions and grounds of their and `barred` measures in the message itself; return it."""
    response.ClearField("cautions")
    for measure in response.measures:
        if measure.caution or measure.measure in barred:
            for field in ("rule", "entries", "entries_omitted"):
                measure.ClearField(field)
        if measure.measure in barred:
            measure.ClearField("reference")
            measure.ClearField("legal_ground")
    return response


@frozen
class ToldAnswer:
    answer: WholeAnswer
    baseline_points: int | None
    """None: only the points of the leads are stated."""
    parts: Mapping[str, int]
    """Points by reason code; with the baseline they add up to the score's."""
    leads: Sequence[Lead]
    given_back: Sequence[OverturnGain]
    violations: Mapping[str, ViolationView]
    acts_tried: bool
    """Whether all acts of the seller were tried."""
    fixed: bool
    fixed_until: int | None
    """The days to the first better tier by a wait alone."""


def leave_out_barred_measures(told: ToldAnswer) -> ToldAnswer:
    """Return a copy without measures whose notice is barred, and without their violations."""
    bars, hidden, in_force = find_bars(told.answer), find_barred_violations(told.answer), told.answer.in_force
    measures = tuple(measure for measure in in_force.measures if measure.measure not in bars)
    return replace(
        told,
        answer=replace(told.answer, in_force=replace(in_force, measures=measures)),
        baseline_points=None if hidden else told.baseline_points,  # a remainder would tell the barred points
        leads=[lead for lead in told.leads if hidden.isdisjoint(lead.entries)],
    )


def checkout_message(response: score_pb.ExplainTrustScoreResponse, texts: Texts) -> score_pb.ExplainTrustScoreResponse:
    """Return a copy with only seller, state, tier, badge, stamp, freshness and one sentence."""
    score = response.trust_score
    score_shown = score_pb.TrustScore(seller=score.seller, state=score.state, tier=score.tier, badge=score.badge)
    score_shown.stamp.CopyFrom(score.stamp)
    score_shown.freshness.CopyFrom(score.freshness)
    badge = texts.say(f"badge.{score.badge}") if texts.has(f"badge.{score.badge}") else score.badge
    sentence = texts.say("checkout", badge=badge)
    return score_pb.ExplainTrustScoreResponse(
        trust_score=score_shown, audience_answer=score_pb.AudienceAnswer(language=texts.language, sentences=[sentence])
    )


def told_message(told: ToldAnswer, texts: Texts, *, for_regulator: bool) -> score_pb.AudienceAnswer:
    """Return an answer in plain words; `for_regulator`: without what the seller can do."""
    until = format_day(told.answer.stamp.observe_time // DAY + told.fixed_until) if told.fixed_until else ""
    sentences = [_tell_score(told.answer.score, texts)]
    if (notice := told.answer.score.notice) is not None:
        sentences.append(
            texts.say("reason.NOTICE", day=day_text(notice.until), tier=texts.say(f"tier.{notice.tier.name}"))
        )
    for lead in told.leads:
        sentences += _tell_lead(lead, told.violations, texts)
        if not for_regulator and (lead.responsive or (told.acts_tried and not lead.contestable)):
            sentences.append(texts.say("can_act" if lead.responsive else "cannot_act"))
    sentences += _tell_points_beside_leads(told, texts)
    sentences += [
        texts.say("given_back", violation=gain.violation, points=gain.points) for gain in told.given_back if gain.points
    ]
    sentences += _tell_measures(told.answer, texts)
    if told.fixed:
        sentences.append(texts.say("fixed", day=until) if until else texts.say("fixed_long"))
    return score_pb.AudienceAnswer(
        language=texts.language,
        sentences=sentences,
        leads=[message_of(score_pb.LeadingReason, lead, end_time=lead.ends) for lead in told.leads],
        fixed=told.fixed,
        fixed_until_day=until if told.fixed else "",
        given_back=[message_of(score_pb.GivenBack, gain) for gain in told.given_back],
    )


@lru_cache(maxsize=4)
def _read_meanings(artifact: Artifact) -> Mapping[str, score_pb.TierMeaning]:
    """Return how sellers of each tier turned out in the model's evaluation, by the tier's name."""
    grades = parse_json(artifact.parts["evaluation.json"]).get("grades", ())
    bad = parse_json(artifact.parts["lineage.json"]).get("definition", {})
    return {
        row["tier"]: score_pb.TierMeaning(
            tier=entry_pb2.Tier.ValueType(Tier[row["tier"].upper()]),
            sellers=row["rows"],
            share=row["observed"],
            low=row["low"],
            high=row["high"],
            bad="; or ".join([*bad.get("bad", ()), *bad.get("bad_asks", ())]),
            window=bad.get("window", ""),
        )
        for row in grades
    }


def add_tier_meaning(message: score_pb.AudienceAnswer, answer: WholeAnswer, texts: Texts) -> None:
    artifact, tier = answer.core.artifact, answer.score.own_tier
    if artifact is None or tier is None:
        return
    meaning = _read_meanings(artifact).get(tier.word)
    if meaning is not None:
        message.tier_meaning.CopyFrom(meaning)
        share, low, high = (f"{100 * value:.1f}" for value in (meaning.share, meaning.low, meaning.high))
        values = {"sellers": f"{meaning.sellers:,}", "share": share, "low": low, "high": high}
        message.sentences.append(texts.say("meaning", **values, bad=meaning.bad, window=meaning.window))


def _tell_score(score: SellerScore, texts: Texts) -> str:
    if score.tier is None:
        return texts.say("unknown")
    tier = texts.say(f"tier.{score.tier.name}")
    return (
        texts.say("no_points", tier=tier)
        if score.points is None
        else texts.say("score", points=score.points, tier=tier)
    )


def _tell_lead(lead: Lead, violations: Mapping[str, ViolationView], texts: Texts) -> Iterator[str]:
    if lead.category is None or lead.severity is None:
        yield tell_reason(lead, texts)
    else:
        category, severity = texts.say(f"category.{lead.category.name}"), texts.say(f"severity.{lead.severity.name}")
        yield texts.say(
            "incident", points=lead.points, category=category, severity=severity, day=day_text(lead.occur_time)
        )
        for view in (violations[entry] for entry in lead.entries if entry in violations):
            yield from tell_violation(view, texts)
        yield texts.say("ends", day=day_text(lead.ends)) if lead.ends is not None else texts.say("fades")
        appeal = "contest" if lead.contestable else "no_contest"
        is_appealed = any(violations[entry].status is Status.APPEALED for entry in lead.entries if entry in violations)
        yield texts.say("appealed" if is_appealed else appeal)


def tell_reason(lead: Lead, texts: Texts) -> str:
    values = {"points": lead.points, "counted": lead.counted, "compared": lead.compared}
    is_young = lead.reason_code == THIN_FILE and lead.counted >= lead.compared
    key = "young" if is_young else f"reason.{lead.reason_code}"
    return texts.say(key, **values, day=texts.say_day(lead.ends or 0))


def tell_source(view: ViolationView, texts: Texts) -> str:
    source = texts.say(f"source.{view.source.name}")
    return texts.say("found_by" if view.source in OWN_SOURCES else "reported_by", source=source)


def tell_violation(view: ViolationView, texts: Texts) -> Iterator[str]:
    """Yield how a violation came to be known and on which ground; a buyer is never named."""
    yield tell_source(view, texts)
    if view.notifier and view.source in _NAMED_SOURCES:
        yield texts.say("named", notifier=view.notifier)
    if view.listing:
        yield texts.say("about_listing", listing=view.listing)
    if view.ground:
        yield texts.say("ground", ground=view.ground)
    if view.automated:
        yield texts.say("automated")


def _tell_points_beside_leads(told: ToldAnswer, texts: Texts) -> Iterator[str]:
    points, base = told.answer.score.points, told.baseline_points
    if points is None or base is None or points == base:
        return
    codes_told = {lead.reason_code for lead in told.leads}
    points_of_others = sum(value for code, value in told.parts.items() if code not in codes_told)
    # Each lead states what its removal alone would give back: leads of one kind do not add up.
    if interaction := points - base - points_of_others - sum(lead.points for lead in told.leads):
        yield texts.say("together", points=f"{interaction:+}")
    if points_of_others:
        yield texts.say("others", points=f"{points_of_others:+}")
    yield texts.say("base", points=base)


def _tell_measures(answer: WholeAnswer, texts: Texts) -> Iterator[str]:
    time = answer.stamp.observe_time
    binding = list_binding(answer.in_force.measures, time)
    for measure in sorted(answer.in_force.measures, key=lambda measure: measure.measure not in binding):
        is_coming_suspension = measure.has_effect and isinstance(measure.current, Suspension)
        if measure.reference and (measure.has_begun(time) or is_coming_suspension):
            sentence = _tell_measure(measure, answer.policy.rule_book.currency, texts)
            yield texts.join([sentence, texts.say("binding")]) if measure.measure in binding else sentence


def _tell_measure(measure: MeasureInForce, currency: str, texts: Texts) -> str:
    effect = tell_effect(measure.current, currency, texts)
    if measure.end is None:
        return texts.say("measure_open", what=effect, reference=measure.reference)
    return texts.say("measure", what=effect, reference=measure.reference, day=day_text(measure.end))


def tell_effect(measure: Measure, currency: str, texts: Texts) -> str:
    """Return a measure's effect, such as `You may have no open listings`."""
    name = measure.kind.name
    values: dict[str, object] = {"days": getattr(measure, "days", 0)}
    category = getattr(measure, "product_category", "")
    values["of"] = texts.say("what.of", name=category) if category else ""
    match measure:
        case Deposit(amount_minor=amount) | ValueCap(value_minor=amount):
            values["amount"] = format_amount(amount, currency)
        case PaidAheadLimit():
            values["amount"] = format_amount(measure.value_minor, currency)
            values["limit"] = format_amount(measure.at_most_minor, currency)
            values["share"] = f"{measure.ppm / 10_000:g}"
        case RollingReserve(ppm=ppm):
            values["share"] = f"{ppm / 10_000:g}"
        case ListingCap(listings=0) | IntakeCap(new_listings=0):
            name = f"NO_{name}"
        case ListingCap(listings=count) | IntakeCap(new_listings=count):
            values["count"] = f"{count:,}"
        case Suspension() if measure.terminates:
            name = "CLOSED"
        case UnvaluedMeasure():
            name = "UNVALUED"
    return texts.say(f"what.{name}", **values)
