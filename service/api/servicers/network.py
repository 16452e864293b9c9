from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scoring.base.canonical import canonical_json
from scoring.base.errors import ApprovalRequired, SellerNotFound, SellertrustError, invalid
from scoring.features.resolved import resolve_sellers
from scoring.measures.record import list_links
from scoring.network.rings import list_months
from scoring.scores.answer import Stamp
from scoring.scores.score import CoreAnswer
from scoring.scores.settled_value import add_up_settled
from sellertrust.v1 import network_service_pb2 as pb
from service.access.rights import Right
from service.api.reads import Reads
from service.call_context import current_call
from service.contract.case_export import (
    MAX_ENTRIES,
    CaseContent,
    describe_case,
    list_curve_times,
    parse_case,
    signed_bytes,
    write_html,
)
from service.contract.network import (
    certificate_message,
    month_messages,
    network_message,
    precision_messages,
    ring_message,
)
from service.contract.resource_names import parse_marketplace, parse_seller
from service.ledger.records import Cut
from service.ledger.seals.checkpoints import load_or_make_key
from service.ledger.store import Ledger
from service.scores.scorer import Scorer

MAX_STEPS, DEFAULT_STEPS = 4, 2
MAX_RINGS, DEFAULT_RINGS = 100, 20
DEFAULT_SIZE = 3


@dataclass(frozen=True)
class NetworkServicer:
    _ledger: Ledger
    _scorer: Scorer
    _reads: Reads
    _key: Path
    """The file of the key that signs cases, made if absent."""

    def GetSellerNetwork(self, request: pb.GetSellerNetworkRequest) -> pb.GetSellerNetworkResponse:
        """Return sellers linked within `steps` (1 to 4; 0 is 2), and a certificate for each link that brings terms.

        Raises SellerNotFound if nothing links the seller.
        """
        marketplace, seller = parse_seller(request.seller, "seller")
        steps = _parse_count(request.steps, "steps", DEFAULT_STEPS, MAX_STEPS)
        self._reads.tail.reach(request.at_least_sequence)
        cut = self._ledger.cut()
        surroundings = self._ledger.links.find_surroundings(marketplace, [seller], cut, max(steps, 2))
        recorded = self._ledger.measures.read_seller_terms(marketplace, seller, cut)
        links = list_links(recorded.cases, cut.observe_time)
        if len(surroundings.steps) == 1 and not links:
            raise SellerNotFound(f"nothing links the seller {seller!r} to another", {"seller": request.seller})
        near = {name: distance for name, distance in surroundings.steps.items() if distance <= steps}
        suspended = self._ledger.links.find_suspended(marketplace, near, cut)
        response = network_message(marketplace, seller, surroundings._replace(steps=near), suspended)
        if links:
            measures = self._scorer.measures_with_and_without_links(marketplace, seller, cut, recorded)
            precision = self._ledger.links.find_precision(marketplace, cut)
            response.certificates.extend(
                certificate_message(marketplace, seller, link, surroundings, precision, measures) for link in links
            )
        response.ledger_sequence = cut.sequence
        return response

    def ListRings(self, request: pb.ListRingsRequest) -> pb.ListRingsResponse:
        """Return at most `page_size` rings (0 is 20), those with most violators first, and figures by month.

        A ring has at least `least_size` linked sellers (0 is 3).
        """
        marketplace = parse_marketplace(request.parent, "parent")
        limit = _parse_count(request.page_size, "page_size", DEFAULT_RINGS, MAX_RINGS)
        least_size = _parse_count(request.least_size, "least_size", DEFAULT_SIZE, 2**31 - 1)
        cut = self._ledger.cut()
        listed = self._ledger.rings.read(marketplace, cut, max(least_size, 2), limit)
        precision = self._ledger.links.find_precision(marketplace, cut)
        months = list_months(listed.cases, listed.confirmed)
        currency = self._scorer.policy.now.rule_book.currency
        names = [name for ring in listed.rings for name in ring.sellers]
        settled = self._add_up_settled(marketplace, names, cut, currency) if currency else {}
        return pb.ListRingsResponse(
            rings=[
                ring_message(marketplace, ring, sum(settled.get(name, 0) for name in ring.sellers))
                for ring in listed.rings
            ],
            ring_count=listed.ring_count,
            months=month_messages(months, listed.sellers, precision),
            precisions=precision_messages(precision),
            currency=currency,
        )

    def RefreshLinks(self, request: pb.RefreshLinksRequest) -> pb.RefreshLinksResponse:
        """Measure anew how often links lead to violators; append what time changed in cases."""
        marketplace = parse_marketplace(request.parent, "parent")
        refreshed = self._ledger.refresh_links(marketplace, principal=current_call().caller)
        return pb.RefreshLinksResponse(
            statement_count=refreshed.links, violator_count=refreshed.violators, case_count=refreshed.cases
        )

    def ExportCase(self, request: pb.ExportCaseRequest) -> pb.ExportCaseResponse:
        """Return a signed bundle about sellers for an authority. Raises ApprovalRequired without an approved proposal."""
        case, approval = parse_case(request), current_call().approval
        if approval is None or not approval.approvers:
            text = "needs the approval of two persons; propose this request, and name the approved proposal in it"
            raise ApprovalRequired(text, {"right": Right.EXPORT_CASES.value, "proposal": "", "persons_missing": "2"})
        cut, marketplace = self._ledger.cut(), case.marketplace
        entries = self._ledger.entries.list(marketplace, cut, sellers=case.sellers, limit=MAX_ENTRIES + 1)
        if len(entries) > MAX_ENTRIES:
            raise invalid("sellers", f"have over {MAX_ENTRIES:,} entries; export fewer sellers at once")
        violations, _ = self._ledger.violations.list(marketplace, cut, sellers=case.sellers, limit=MAX_ENTRIES)
        network = self._ledger.links.find_surroundings(marketplace, case.sellers, cut, 1)
        network = network._replace(steps=dict.fromkeys(case.sellers, 1))
        suspended = self._ledger.links.find_suspended(marketplace, case.sellers, cut)
        points, made_by = self._list_past_points(marketplace, case.sellers, cut)
        content = CaseContent(
            entries=entries,
            violations=violations,
            proofs=self._ledger.seals.prove([entry.sequence for entry in entries]),
            network=network_message(marketplace, "", network, suspended),
            points=points,
            made_by=made_by,
        )
        described = describe_case(case, content, approval, cut.observe_time)
        bundle, key = canonical_json(described), load_or_make_key(self._key)
        return pb.ExportCaseResponse(
            bundle=bundle.decode(),
            signature=key.sign(signed_bytes(bundle)).hex(),
            public_key=key.public_key().public_bytes_raw().hex(),
            html=write_html(described),
        )

    def _list_past_points(
        self, marketplace: str, sellers: Sequence[str], cut: Cut
    ) -> tuple[dict[str, list[tuple[int, int | None]]], Stamp]:
        """Return each seller's past (time, points), and the present stamp."""
        times = list_curve_times(cut.observe_time)
        points: dict[str, list[tuple[int, int | None]]] = {}
        for seller in sellers:
            cores: list[CoreAnswer] = []
            [outcome], made_by = self._scorer.scores(marketplace, [seller], cut, cores.append)
            if isinstance(outcome, SellertrustError) and not isinstance(outcome, SellerNotFound):
                raise outcome
            past = (score for core in cores for score in self._scorer.past_scores(marketplace, core, cut, times))
            points[seller] = [
                (time, None if score is None else score.points) for time, score in zip(times, past, strict=True)
            ]
        return points, made_by

    def _add_up_settled(self, marketplace: str, sellers: Sequence[str], cut: Cut, currency: str) -> dict[str, int]:
        settled: dict[str, int] = {}
        for batch in self._ledger.facts.batches(marketplace, sellers):
            table, _ = self._ledger.facts.table(marketplace, batch, cut, [currency])
            facts = resolve_sellers(batch, table, cut.observe_time).view().facts
            settled.update(zip(batch, add_up_settled(facts, table, currency)[""].tolist(), strict=True))
        return settled


def _parse_count(number: int, name: str, default: int, limit: int) -> int:
    if not 0 <= number <= limit:
        raise invalid(name, f"must be 1 to {limit:,}; 0 is {default:,}")
    return number or default
