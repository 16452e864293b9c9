"""The credit file of one seller: what the service answers about it, on one page."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote, urlencode

from google.protobuf.json_format import MessageToDict
from starlette.responses import Response

from scoring.entries.field_types import ID_FORM, is_id
from sellertrust.client import Client
from sellertrust.names import seller_name
from sellertrust.requests import invoke
from sellertrust.v1.entry_pb2 import Action, Category, Entry, IdentityLevel, Severity, Source, Tier, ViolationStatus
from sellertrust.v1.ledger_service_pb2 import ListEntriesRequest, Violation
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from sellertrust.v1.trust_score_service_pb2 import ExplainTrustScoreResponse, PastScore, Reason, Stamp, TrustScore
from service.web.desk.calls import READ_SECONDS, none_if_not_found, part, start
from service.web.desk.measure_words import measure_rows
from service.web.frame.charts import Mark, Sample, draw_curve, draw_scale, draw_step
from service.web.frame.rendering import day, last, redirect, time_of, word
from service.web.frame.visits import Problem, Visit

CURVE_WEEKS = 52
CURVE_DAYS = range(7 * CURVE_WEEKS, 0, -28)
ENTRIES_ON_PAGE = 50
MARKED_ENTRIES = 1_000
"""The curve shows decisions of these."""

SUPPOSED = ("confirm", "dismiss", "overturn", "reinstate")
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

_COUNTED = {
    "SERVICE_FAILURES": "orders that failed",
    "INSPECTIONS_FAILED": "inspections that failed",
    "DISPUTES_LOST": "orders with a lost dispute",
    "FEW_ORDERS": "settled orders",
    "SHORT_TENURE": "days on record",
    "LIMIT": "the sum",
}
"""What a reason counts; all others count incidents."""


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
    supposed: Sequence[str]
    """Decisions to simulate."""


class SellerPages:
    def __init__(self, marketplace: str) -> None:
        self._marketplace = marketplace

    def search(self, visit: Visit) -> Response:
        """Redirect to the seller that has the exact id asked for, or a violation with it."""
        asked = visit.query_value("q")
        if not asked:
            return visit.page("search.html", asked="", problems=[], marketplace=self._marketplace)
        if not is_id(asked):
            return self._not_found(visit, asked, f"An id is {ID_FORM}")
        client = visit.visitor.client
        if none_if_not_found(lambda: client.get_trust_score(self._marketplace, asked, deadline_seconds=READ_SECONDS)):
            return redirect(f"/sellers/{quote(asked)}")
        violation = none_if_not_found(
            lambda: client.get_violation(self._marketplace, asked, deadline_seconds=READ_SECONDS)
        )
        if violation is not None and violation.seller:
            return redirect(f"/sellers/{quote(last(violation.seller))}#v-{quote(asked)}")
        return self._not_found(visit, asked, f"No seller and no violation has the id {asked}")

    def _not_found(self, visit: Visit, asked: str, text: str) -> Response:
        return visit.page("search.html", 404, asked=asked, problems=[("q", text)], marketplace=self._marketplace)

    def show(self, visit: Visit) -> Response:
        seller, client, market = seller_of(visit), visit.visitor.client, self._marketplace
        explain = partial(client.explain_trust_score, market, seller, past_days=CURVE_DAYS)
        explaining = start(lambda: explain(deadline_seconds=READ_SECONDS))
        measuring = start(lambda: client.evaluate_measures(market, seller, deadline_seconds=READ_SECONDS))
        listing = start(lambda: violations_latest_first(client, market, seller))
        reading = start(lambda: first_entries(client, market, seller))
        answer = explaining.result()
        samples = _list_samples(answer)
        measures, violations, entries = part(measuring.result), part(listing.result), part(reading.result)
        score = answer.trust_score
        marks = mark_decisions(entries.value or (), samples[0].time)
        summary = f"Points of the last {CURVE_WEEKS} weeks. The table below has the same numbers."
        effects = {
            entry: incident.points_if_overturned
            for reason in answer.reasons
            for incident in reason.incidents
            for entry in incident.entries
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
            replay=replay_address(seller, score.stamp),
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

    def entries(self, visit: Visit) -> Response:
        seller = seller_of(visit)
        request = ListEntriesRequest(
            parent=seller_name(self._marketplace, seller),
            page_size=ENTRIES_ON_PAGE,
            page_token=visit.query_value("page"),
        )
        answer = invoke(LedgerServiceStub(visit.visitor.client.channel).ListEntries, request, READ_SECONDS)
        rows = [(entry, entry.WhichOneof("fact") or "", _fact_text(entry)) for entry in answer.entries]
        following = f"?{urlencode({'page': answer.next_page_token})}" if answer.next_page_token else ""
        first = "?" if visit.query_value("page") else ""
        return visit.page("entries.html", seller=seller, rows=rows, next=following, first=first)


def _list_samples(answer: ExplainTrustScoreResponse) -> list[Sample]:
    past = [_sample(time_of(one.observe_time), one) for one in answer.past_scores]
    return [*past, _sample(time_of(answer.trust_score.stamp.observe_time), answer.trust_score)]


def violations_latest_first(client: Client, marketplace: str, seller: str) -> list[Violation]:
    """Return up to MARKED_ENTRIES violations, the latest report first."""
    listed = client.list_violations(marketplace, seller, page_size=MARKED_ENTRIES, deadline_seconds=READ_SECONDS)
    return sorted(islice(listed, MARKED_ENTRIES), key=lambda one: time_of(one.report_time), reverse=True)


def first_entries(client: Client, marketplace: str, seller: str) -> list[Entry]:
    listed = client.list_entries(marketplace, seller, page_size=MARKED_ENTRIES, deadline_seconds=READ_SECONDS)
    return list(islice(listed, MARKED_ENTRIES))


def mark_decisions(entries: Iterable[Entry], begin: datetime) -> list[Mark]:
    """Return marks from `begin` on, the earliest first."""
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
    """Return steps from the page's base that add up to the points, or [] without a base."""
    if not answer.HasField("baseline_points"):
        return []
    total = base = answer.baseline_points
    floor = waterfall_floor(answer)
    steps = [Step("Base", "A seller with nothing against it", base, base, draw_step(floor, base, (floor, base)))]
    for reason in answer.reasons:
        before, total = total, total + reason.points
        bar = draw_step(before, total, (floor, base))
        steps.append(Step(word(reason.reason_code), _describe_count(reason), reason.points, total, bar))
    return steps


def _describe_count(reason: Reason) -> str:
    """Return what a reason counts, such as `days on record: 652`."""
    if reason.reason_code in ("IDENTITY_LEVEL", "IDENTITY_ATTRIBUTES"):
        level = IdentityLevel.Name(IdentityLevel.ValueType(reason.counted)).removeprefix("IDENTITY_LEVEL_")
        return f"level: {word(level).lower() if reason.counted else 'not stated'}"
    many = f"{reason.counted:,} of {reason.compared:,}" if reason.compared else f"{reason.counted:,}"
    return f"{_COUNTED.get(reason.reason_code, 'incidents')}: {many}" if reason.counted else ""


def waterfall_floor(answer: ExplainTrustScoreResponse) -> int:
    """Return the points where bars begin, so that small steps show."""
    lost = sum(-reason.points for reason in answer.reasons)
    return max(0, (answer.baseline_points - 2 * lost - 20) // 50 * 50)


def violation_row(violation: Violation, effects: Mapping[str, int]) -> ViolationRow:
    """Return a row; `effects`: by entry, points that an overturn gives back."""
    return ViolationRow(
        violation,
        last(violation.name),
        ViolationStatus.Name(violation.status),
        Severity.Name(violation.severity),
        Category.Name(violation.category),
        Source.Name(violation.source),
        next((effects[entry] for entry in violation.entries if entry in effects), None),
        [
            name
            for action in violation.allowed_actions
            if (name := Action.Name(action).removeprefix("ACTION_").lower()) in SUPPOSED
        ],
    )


def _sample(time: datetime, score: TrustScore | PastScore) -> Sample:
    return Sample(time, score.points if score.HasField("points") else None, Tier.Name(score.tier))


def replay_address(seller: str, stamp: Stamp) -> str:
    parts = {
        "observe_time": stamp.observe_time.ToJsonString(),
        "known_time": stamp.known_time.ToJsonString(),
        "ledger_sequence": str(stamp.ledger_sequence),
        "model_digest": stamp.model_digest,
        "policy_digest": stamp.policy_digest,
        "core_version": stamp.core_version,
    }
    return f"/sellers/{quote(seller)}/replay?{urlencode(parts)}"


def _fact_text(entry: Entry) -> str:
    fact = getattr(entry, str(entry.WhichOneof("fact")))
    stated = MessageToDict(fact, preserving_proto_field_name=True)
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in stated.items())


def seller_of(visit: Visit) -> str:
    seller = visit.path_value("seller")
    if not is_id(seller):
        raise Problem(404, "This is no seller's id", f"An id is {ID_FORM}.")
    return seller
