from collections.abc import Iterator, Sequence

from google.protobuf.message import Message

from scoring.answers.forecast import Forecast, TierPath
from scoring.answers.statements import find_bars
from scoring.answers.whole import WholeAnswer
from scoring.base.enums import Ingredient, ReplayState
from scoring.base.time import DAY, format_day
from scoring.policy.measures import Deposit
from scoring.scores.answer import Stamp
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import measure_service_pb2 as measure_pb
from service.contract.audiences import hide_from_seller, hide_grounds_from_seller
from service.contract.fields import message_of
from service.contract.measures import measures_message
from service.contract.scores import score_message, stamp_message
from service.contract.texts import Texts

UNCOMPARED = frozenset({"freshness", "stamp"})
"""The stamp is what is replayed; only a later core gives it another version."""


def simulation_message(
    name: str, present: WholeAnswer, simulated: WholeAnswer, *, for_seller: bool
) -> answer_pb.SimulateTrustScoreResponse:
    """Return both answers; `for_seller`: without what sellers must not see."""
    scores, measures = [], []
    for answer in (present, simulated):
        score, response = score_message(name, answer.score, None), unstamped_measures(name, answer)
        scores.append(hide_from_seller(score) if for_seller else score)
        measures.append(hide_grounds_from_seller(response, find_bars(answer)) if for_seller else response)
    return answer_pb.SimulateTrustScoreResponse(
        seller=name,
        present=scores[0],
        simulated=scores[1],
        present_measures=measures[0],
        simulated_measures=measures[1],
        basis=stamp_message(present.stamp),
    )


def unstamped_measures(name: str, answer: WholeAnswer) -> measure_pb.EvaluateMeasuresResponse:
    """Return the measures of a hypothetical answer, without a stamp, since nobody can replay it."""
    message = measures_message(name, answer)
    message.ClearField("stamp")
    return message


def path_message(path: TierPath, orders: int, today: int, texts: Texts) -> answer_pb.TierPath:
    """Return a path with its sentence; `orders`: the seller's in 90 days; `today`: the UTC day since 1970."""
    course, day = path.course, format_day(today + path.days)
    acts = {"verify": course.level, "trade": course.trades}
    key = "_".join(act for act, is_needed in acts.items() if is_needed) or "wait"
    level = texts.say(f"level.{course.level.name}") if course.level else ""
    tier = texts.say(f"tier.{path.tier.name}")
    return message_of(
        answer_pb.TierPath,
        path,
        day=day,
        trades_cleanly=course.trades,
        orders_in_90_days=orders if course.trades else 0,
        identity_level=course.level,
        sentence=texts.say(
            f"path.{key}",
            tier=tier,
            day=texts.say_day((today + path.days) * DAY),
            days=path.days,
            orders=orders,
            level=level,
        ),
    )


def healing_messages(wait: Forecast, today: int) -> Iterator[answer_pb.HealingDay]:
    """Yield each forecast day from `today` (UTC day since 1970) on."""
    for days, (points, tier) in enumerate(zip(wait.points.tolist(), wait.tiers.tolist(), strict=True)):
        yield answer_pb.HealingDay(day=format_day(today + days), points=points, tier=tier)


def find_largest_deposit(answer: WholeAnswer) -> int:
    """Return the largest sum still to place, now or later, in minor units; 0 without any."""
    return max(
        (
            measure.current.amount_minor
            for measure in answer.in_force.measures
            if measure.has_effect and isinstance(measure.current, Deposit)
        ),
        default=0,
    )


def list_differing(old: Message, new: Message) -> list[str]:
    """Return the top-level fields that differ; skips freshness and stamp."""
    return [
        field.name
        for field in new.DESCRIPTOR.fields
        if field.name not in UNCOMPARED
        and (
            getattr(old, field.name) != getattr(new, field.name)
            or (field.has_presence and old.HasField(field.name) != new.HasField(field.name))
        )
    ]


def replay_message(
    name: str,
    request: answer_pb.ReplayTrustScoreRequest,
    replay: WholeAnswer,
    old_stamp: Stamp,
    steps: Sequence[tuple[Ingredient, str, str, WholeAnswer]],
) -> answer_pb.ReplayTrustScoreResponse:
    """Return a replay's response. `steps`: (ingredient, its old and new value, the answer with the new one)."""
    score = score_message(name, replay.score, stamp_message(replay.stamp))
    measures = measures_message(name, replay)
    kind = request.WhichOneof("answer")
    differing = []
    if kind == "stamp":
        is_same_core = old_stamp.core_version == replay.stamp.core_version
        state = ReplayState.REPEATED if is_same_core else ReplayState.DIFFERS
    else:
        differing = list_differing(getattr(request, kind or ""), score if kind == "trust_score" else measures)
        state = ReplayState.DIFFERS if differing else ReplayState.SAME
    return answer_pb.ReplayTrustScoreResponse(
        seller=name,
        state=answer_pb.ReplayState.ValueType(state),
        trust_score=score,
        measures=measures,
        differing=differing,
        steps=[
            message_of(answer_pb.ReplayStep, answer.score, ingredient=ingredient, then=before, now=now)
            for ingredient, before, now, answer in steps
        ],
    )
