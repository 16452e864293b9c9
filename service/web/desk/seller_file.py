"""The credit file of one seller: what the service answers about it, on one page."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import grpc
from starlette.responses import Response

from scoring.entries.field_types import ID_FORM, is_id
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.entry_pb2 import Action, Category, Entry, Severity, Source, Tier, ViolationStatus
from sellertrust.v1.ledger_service_pb2 import Violation
from sellertrust.v1.trust_score_service_pb2 import ExplainTrustScoreResponse, TrustScore
from service.web.desk.measure_words import measure_rows
from service.web.frame.charts import Mark, Sample, draw_curve, draw_scale, draw_step
from service.web.frame.rendering import day, redirect, time_of, word
from service.web.frame.visits import Problem, Visit, explain

CURVE_WEEKS = 52
CURVE_STEP_WEEKS = 4
READ_SECONDS = 5.0
MARKED_ENTRIES = 1_000
"""Of them the curve shows the decisions."""

_AGAINST = {"ACTION_CONFIRM", "ACTION_REINSTATE"}
_FOR = {"ACTION_DISMISS", "ACTION_WITHDRAW", "ACTION_OVERTURN", "ACTION_REDUCE"}
_ACTED = {
    "ACTION_REVIEW": "taken up",
    "ACTION_CONFIRM": "confirmed",
    "ACTION_DISMISS": "dismissed",
    "ACTION_WITHDRAW": "withdrawn",
    "ACTION_APPEAL": "appealed",
    "ACTION_REDUCE": "reduced",
    "ACTION_OVERTURN": "overturned",
    "ACTION_REINSTATE": "reinstated",
}
_OTHER_MARKS = {
    "override": "tier set by a person",
    "control": "account passed to another party",
    "payouts": "payouts stopped or resumed",
    "complaint": "complaint filed",
}
_CALLS = ThreadPoolExecutor(16, thread_name_prefix="desk")

T = TypeVar("T")


class Part(NamedTuple):
    """What a call answered, or why this visitor does not see it."""

    value: Any
    problem: Problem | None


class Step(NamedTuple):
    """One row of the waterfall."""

    name: str
    note: str
    points: int
    total: int
    bar: str


class ViolationRow(NamedTuple):
    violation: Violation
    id: str
    status: str
    severity: str
    category: str
    source: str
    given_back: int | None
    """Points that overturning it gives back."""


def start(call: Callable[[], T]) -> "Future[T]":
    return _CALLS.submit(call)


def part(call: "Future[Any]") -> Part:
    """Return a call's answer; only a refusal for want of a right leaves the rest of the page."""
    try:
        return Part(call.result(), None)
    except SellertrustCallError as error:
        if error.code is not grpc.StatusCode.PERMISSION_DENIED:
            raise
        return Part(None, explain(error))


class SellerPages:
    def __init__(self, marketplace: str) -> None:
        self._marketplace = marketplace

    def search(self, visit: Visit) -> Response:
        """Lead to the seller, or to the seller of the violation, of this id."""
        asked = visit.asked("q")
        if not asked:
            return visit.page("search.html", asked="", problems=[], marketplace=self._marketplace)
        if not is_id(asked):
            return self._not_found(visit, asked, f"An id is {ID_FORM}")
        client = visit.visitor.client
        if _exists(lambda: client.get_trust_score(self._marketplace, asked, deadline_seconds=READ_SECONDS)):
            return redirect(f"/sellers/{quote(asked)}")
        found = _exists(lambda: client.get_violation(self._marketplace, asked, deadline_seconds=READ_SECONDS))
        if found is not None and found.seller:
            return redirect(f"/sellers/{quote(found.seller.rpartition('/')[2])}#v-{quote(asked)}")
        return self._not_found(visit, asked, f"No seller and no violation has the id {asked}")

    def _not_found(self, visit: Visit, asked: str, text: str) -> Response:
        return visit.page("search.html", 404, asked=asked, problems=[("q", text)], marketplace=self._marketplace)

    def show(self, visit: Visit) -> Response:
        seller, client, market = seller_of(visit), visit.visitor.client, self._marketplace
        explaining = start(lambda: client.explain_trust_score(market, seller, deadline_seconds=READ_SECONDS))
        measuring = start(lambda: client.evaluate_measures(market, seller, deadline_seconds=READ_SECONDS))
        listing = start(lambda: first_violations(client, market, seller))
        reading = start(lambda: first_entries(client, market, seller))
        explained: Part = part(explaining)
        if explained.problem:
            raise explained.problem
        answer: ExplainTrustScoreResponse = explained.value
        samples = self._samples(client, seller, answer)
        measures, violations, entries = part(measuring), part(listing), part(reading)
        score = answer.trust_score
        marks = mark_decisions(entries.value or (), samples[0].time)
        summary = f"Points of the last {CURVE_WEEKS} weeks. The table below has the same numbers."
        effects = {
            entry: one.points_if_overturned
            for reason in answer.reasons
            for one in reason.incidents
            for entry in one.entries
        }
        return visit.page(
            "seller.html",
            seller=seller,
            marketplace=market,
            score=score,
            tier=Tier.Name(score.tier),
            is_rated=score.HasField("points"),
            scale=draw_scale(score.points, score.points_low, score.points_high) if score.HasField("points") else "",
            thin_file=answer.thin_file if answer.HasField("thin_file") else None,
            steps=waterfall(answer),
            floor=waterfall_floor(answer),
            curve=draw_curve(samples, marks, summary),
            samples=samples,
            marks=marks,
            measures=measures,
            measure_rows=measure_rows(measures.value) if measures.value else [],
            violations=violations,
            violation_rows=[violation_row(one, effects) for one in violations.value or ()],
            deposit_placed=measures.value.deposit_placed_minor if measures.value else 0,
        )

    def _samples(self, client: Client, seller: str, answer: ExplainTrustScoreResponse) -> list[Sample]:
        """Ask for the points of the last year by today's knowledge, at day-ends."""
        now = time_of(answer.trust_score.stamp.observe_time)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        times = [midnight - timedelta(weeks=week) for week in range(CURVE_WEEKS, 0, -CURVE_STEP_WEEKS)]
        asked = [start(partial(self._score_at, client, seller, time)) for time in times]
        return [*(call.result() for call in asked), _sample(now, answer.trust_score)]

    def _score_at(self, client: Client, seller: str, time: datetime) -> Sample:
        ask = partial(client.get_trust_score, self._marketplace, seller)
        score = _exists(lambda: ask(observe_time=time, deadline_seconds=READ_SECONDS))
        return Sample(time, None, "TIER_UNSPECIFIED") if score is None else _sample(time, score.message)


def first_violations(client: Client, marketplace: str, seller: str) -> list[Violation]:
    """Return a seller's first 200 violations, the latest report first."""
    found = client.list_violations(marketplace, seller, page_size=200, deadline_seconds=READ_SECONDS)
    return sorted(islice(found, 200), key=lambda one: time_of(one.report_time), reverse=True)


def first_entries(client: Client, marketplace: str, seller: str) -> list[Entry]:
    found = client.list_entries(marketplace, seller, page_size=MARKED_ENTRIES, deadline_seconds=READ_SECONDS)
    return list(islice(found, MARKED_ENTRIES))


def mark_decisions(entries: Iterable[Entry], begin: datetime) -> list[Mark]:
    """Return the reports and decisions since a time, as marks on the curve."""
    marks = []
    for entry in entries:
        time = time_of(entry.occur_time)
        if time < begin:
            continue
        kind = entry.WhichOneof("fact")
        if kind == "violation":
            marks.append(Mark(time, "report", f"{day(time)}: reported, {word(entry.violation.violation_type).lower()}"))
        elif kind == "status":
            action = Action.Name(entry.status.action)
            shape = "against" if action in _AGAINST else "for" if action in _FOR else "report"
            marks.append(Mark(time, shape, f"{day(time)}: {_ACTED[action]} by {entry.status.actor}"))
        elif kind in _OTHER_MARKS:
            marks.append(Mark(time, "against", f"{day(time)}: {_OTHER_MARKS[kind]}"))
    return sorted(marks, key=lambda mark: mark.time)


def waterfall(answer: ExplainTrustScoreResponse) -> list[Step]:
    """Return the steps from the page's base to the points; the steps add up to the points."""
    if not answer.HasField("baseline_points"):
        return []
    total = base = answer.baseline_points
    floor = waterfall_floor(answer)
    steps = [Step("Base", "A seller with nothing against it", base, base, draw_step(floor, base, (floor, base)))]
    for reason in answer.reasons:
        before, total = total, total + reason.points
        note = f"{reason.counted:,} of {reason.compared:,}" if reason.compared else f"{reason.counted:,} counted"
        bar = draw_step(before, total, (floor, base))
        steps.append(Step(word(reason.reason_code), note, reason.points, total, bar))
    return steps


def waterfall_floor(answer: ExplainTrustScoreResponse) -> int:
    """Return where the waterfall's bars begin, so that small steps can be seen."""
    lost = sum(-reason.points for reason in answer.reasons)
    return max(0, (answer.baseline_points - 2 * lost - 20) // 50 * 50)


def violation_row(one: Violation, effects: Mapping[str, int]) -> ViolationRow:
    return ViolationRow(
        one,
        one.name.rpartition("/")[2],
        ViolationStatus.Name(one.status),
        Severity.Name(one.severity),
        Category.Name(one.category),
        Source.Name(one.source),
        next((effects[entry] for entry in one.entries if entry in effects), None),
    )


def _sample(time: datetime, score: TrustScore) -> Sample:
    return Sample(time, score.points if score.HasField("points") else None, Tier.Name(score.tier))


def _exists(call: Callable[[], T]) -> T | None:
    """Return a call's answer; None if nothing is recorded under the name."""
    try:
        return call()
    except SellertrustCallError as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            return None
        raise


def seller_of(visit: Visit) -> str:
    seller = visit.part("seller")
    if not is_id(seller):
        raise Problem(404, "This is no seller's id", f"An id is {ID_FORM}.")
    return seller
