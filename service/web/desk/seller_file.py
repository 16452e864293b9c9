from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from urllib.parse import quote, urlencode

from google.protobuf.json_format import MessageToDict
from starlette.responses import Response

from scoring.entries.field_types import ID_FORM, is_id
from sellertrust.names import seller_name
from sellertrust.requests import invoke
from sellertrust.v1.entry_pb2 import Entry, IdentityLevel, Tier, ViolationStatus
from sellertrust.v1.ledger_service_pb2 import (
    ListEntriesRequest,
    ListViolationsRequest,
    ListViolationsResponse,
    Violation,
)
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from sellertrust.v1.trust_score_service_pb2 import ExplainTrustScoreResponse, PastScore, Reason, Stamp, TrustScore
from service.pictures import draw_network
from service.web.desk.acting import WORDS
from service.web.desk.calls import READ_SECONDS, call_or_problem, none_if_not_found, start_call
from service.web.frame.charts import Mark, PointsSample, draw_curve
from service.web.frame.rendering import HEADERS, action_name, day, last, redirect, time_of, word
from service.web.frame.visits import Problem, Visit

CURVE_WEEKS = 52
CURVE_DAYS = range(7 * CURVE_WEEKS, 0, -28)
ENTRIES_ON_PAGE = 50
MARKED_ENTRIES = 1_000

STAMP_FIELDS = ("observe_time", "known_time", "ledger_sequence", "model_digest", "policy_digest", "core_version")
SUPPOSED = ("confirm", "dismiss", "overturn", "reinstate")


@dataclass(frozen=True)
class SellerFilePages:
    marketplace: str

    def search(self, visit: Visit) -> Response:
        """Redirect to the seller with this exact id, or with a violation of it."""
        query = visit.query_value("q")
        if not query:
            return visit.page("search.html", asked="", problems=[], marketplace=self.marketplace)
        if not is_id(query):
            return self._show_not_found(visit, query, f"An id is {ID_FORM}")
        client = visit.visitor.client
        if none_if_not_found(lambda: client.get_trust_score(self.marketplace, query, deadline_seconds=READ_SECONDS)):
            return redirect(f"/sellers/{quote(query)}")
        violation = none_if_not_found(
            lambda: client.get_violation(self.marketplace, query, deadline_seconds=READ_SECONDS)
        )
        if violation is not None and violation.seller:
            return redirect(f"/sellers/{quote(last(violation.seller))}?violation={quote(query)}#violations")
        return self._show_not_found(visit, query, f"No seller and no violation has the id {query}")

    def _show_not_found(self, visit: Visit, query: str, text: str) -> Response:
        return visit.page("search.html", 404, asked=query, problems=[("q", text)], marketplace=self.marketplace)

    def show(self, visit: Visit) -> Response:
        """Show score, measures and violations; a part that cannot be read shows why."""
        seller, client, market = read_seller(visit), visit.visitor.client, self.marketplace
        explain = partial(client.explain_trust_score, market, seller, past_days=CURVE_DAYS)
        explaining = start_call(lambda: explain(deadline_seconds=READ_SECONDS))
        measuring = start_call(lambda: client.evaluate_measures(market, seller, deadline_seconds=READ_SECONDS))
        listing = start_call(partial(self._list_violations, visit, seller))
        recorded = client.list_entries(market, seller, page_size=MARKED_ENTRIES, deadline_seconds=READ_SECONDS)
        reading = start_call(lambda: list(islice(recorded, MARKED_ENTRIES)))
        answer = explaining.result()
        samples = _list_samples(answer)
        measures, violations, entries = (
            call_or_problem(measuring.result),
            call_or_problem(listing.result),
            call_or_problem(reading.result),
        )
        score = answer.trust_score
        filters = {name: visit.query_value(name) for name in ("violation", "status")}
        part = violations.value or ListViolationsResponse()
        on_page = [*part.violations]
        if is_id(filters["violation"]) and (part.next_page_token or visit.query_value("part")):
            later = none_if_not_found(
                lambda: client.get_violation(market, filters["violation"], deadline_seconds=READ_SECONDS)
            )
            names = {listed.name for listed in on_page}
            if later is not None and last(later.seller) == seller and later.name not in names:
                on_page.append(later)
        chosen = [listed for listed in on_page if _matches_filters(listed, **filters)]
        chosen.sort(key=lambda listed: time_of(listed.report_time), reverse=True)
        shown, following, first = visit.cut_page(chosen)
        marks = mark_decisions(entries.value or (), samples[0].time)
        return visit.page(
            "seller.html",
            seller=seller,
            marketplace=market,
            score=score,
            thin_file=answer.thin_file if answer.HasField("thin_file") else None,
            reasons=[(reason, _describe_count(reason)) for reason in answer.reasons],
            base=answer.baseline_points,
            floor=waterfall_floor(answer),
            replay=urlencode(stamp_fields(score.stamp)),
            curve=draw_curve(
                samples, marks, f"Points of the last {CURVE_WEEKS} weeks. The table below has the same numbers."
            ),
            samples=samples,
            marks=marks,
            cut_at=MARKED_ENTRIES if len(entries.value or ()) == MARKED_ENTRIES else 0,
            measures=measures,
            violations=violations,
            part=visit.query_value("part"),
            later=part.next_page_token,
            shown=shown,
            next=following,
            first=first,
            asked=filters,
            statuses=ViolationStatus.keys()[1:],
            if_overturned=_list_points_given_back(answer),
            supposed=SUPPOSED,
        )

    def _list_violations(self, visit: Visit, seller: str) -> ListViolationsResponse:
        request = ListViolationsRequest(
            parent=seller_name(self.marketplace, seller), page_size=MARKED_ENTRIES, page_token=visit.query_value("part")
        )
        stub = LedgerServiceStub(visit.visitor.client.channel)
        return invoke(stub.ListViolations, request, READ_SECONDS)

    def draw_network(self, visit: Visit) -> Response:
        client = visit.visitor.client
        network = client.get_seller_network(self.marketplace, read_seller(visit), deadline_seconds=READ_SECONDS)
        return Response(draw_network(network), headers=HEADERS, media_type="image/svg+xml")

    def entries(self, visit: Visit) -> Response:
        seller = read_seller(visit)
        request = ListEntriesRequest(
            parent=seller_name(self.marketplace, seller),
            page_size=ENTRIES_ON_PAGE,
            page_token=visit.query_value("page"),
        )
        answer = invoke(LedgerServiceStub(visit.visitor.client.channel).ListEntries, request, READ_SECONDS)
        rows = [(entry, entry.WhichOneof("fact") or "", _describe_fact(entry)) for entry in answer.entries]
        following = f"?{urlencode({'page': answer.next_page_token})}" if answer.next_page_token else ""
        first = "?" if visit.query_value("page") else ""
        return visit.page("entries.html", seller=seller, rows=rows, next=following, first=first)


def _matches_filters(one: Violation, violation: str, status: str) -> bool:
    return violation in ("", last(one.name)) and status in ("", ViolationStatus.Name(one.status))


def _list_points_given_back(answer: ExplainTrustScoreResponse) -> dict[str, int]:
    return {
        entry: incident.points_if_overturned
        for reason in answer.reasons
        for incident in reason.incidents
        for entry in incident.entries
    }


def _list_samples(answer: ExplainTrustScoreResponse) -> list[PointsSample]:
    past = [_make_sample(time_of(score.observe_time), score) for score in answer.past_scores]
    return [*past, _make_sample(time_of(answer.trust_score.stamp.observe_time), answer.trust_score)]


def mark_decisions(entries: Iterable[Entry], begin: datetime) -> list[Mark]:
    """Return marks of reports and decisions that occurred from `begin` on, the earliest first, one for alike of a day."""
    marks = []
    for entry in entries:
        time = time_of(entry.occur_time)
        if time < begin:
            continue
        kind = entry.WhichOneof("fact")
        if kind == "violation":
            marks.append(Mark(time, "report", f"{day(time)}: reported, {word(entry.violation.violation_type).lower()}"))
        elif kind == "status":
            shape, acted = WORDS["decisions"][action_name(entry.status.action)]
            marks.append(Mark(time, shape, f"{day(time)}: {acted} by {entry.status.actor}"))
        elif kind in WORDS["marks"]:
            marks.append(Mark(time, "against", f"{day(time)}: {WORDS['marks'][kind]}"))
    marks.sort(key=lambda mark: mark.time)
    counts = Counter(mark.text for mark in marks)
    alike = {mark.text: mark for mark in reversed(marks)}
    return [
        alike[text]._replace(text=text if count == 1 else f"{text}, {count} times") for text, count in counts.items()
    ]


def _describe_count(reason: Reason) -> str:
    if reason.reason_code in ("IDENTITY_LEVEL", "IDENTITY_ATTRIBUTES"):
        level = IdentityLevel.Name(IdentityLevel.ValueType(reason.counted)).removeprefix("IDENTITY_LEVEL_")
        return f"level: {word(level).lower() if reason.counted else 'not stated'}"
    count = f"{reason.counted:,} of {reason.compared:,}" if reason.compared else f"{reason.counted:,}"
    return f"{WORDS['counted'].get(reason.reason_code, 'incidents')}: {count}" if reason.counted else ""


def waterfall_floor(answer: ExplainTrustScoreResponse) -> int:
    """Return the points at which bars begin, a multiple of 50: 350 for a base of 600 and 100 lost points."""
    lost = sum(-reason.points for reason in answer.reasons)
    return max(0, (answer.baseline_points - 2 * lost - 20) // 50 * 50)


def _make_sample(time: datetime, score: TrustScore | PastScore) -> PointsSample:
    return PointsSample(time, score.points if score.HasField("points") else None, Tier.Name(score.tier))


def stamp_fields(stamp: Stamp) -> dict[str, str]:
    """Return the stamp as texts of an address, for a replay; a missing part is ""."""
    fields = MessageToDict(stamp, preserving_proto_field_name=True)
    return {name: str(fields.get(name, "")) for name in STAMP_FIELDS}


def _describe_fact(entry: Entry) -> str:
    fact = getattr(entry, str(entry.WhichOneof("fact")))
    values = MessageToDict(fact, preserving_proto_field_name=True)
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in values.items())


def read_seller(visit: Visit) -> str:
    """Return the seller's id in the path. Raises Problem for a malformed one."""
    seller = visit.path_value("seller")
    if not is_id(seller):
        raise Problem(404, "This is no seller's id", f"An id is {ID_FORM}.")
    return seller
