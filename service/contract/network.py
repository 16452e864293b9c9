from collections.abc import Container, Iterable, Mapping

from scoring.base.enums import LinkKind
from scoring.measures.in_force import InForce
from scoring.measures.record import LinkInForce
from scoring.network.links import Hop
from scoring.network.rings import Month, Ring, bound_innocent
from sellertrust.names import seller_name
from sellertrust.v1 import network_service_pb2 as pb
from service.contract.fields import message_of
from service.contract.measures import terms_message
from service.ledger.queries.links import Precision, Surroundings

MAX_SELLERS = 500
MAX_MONTHS = 12


def network_message(
    marketplace: str, seller: str, surroundings: Surroundings, suspended: Container[str]
) -> pb.GetSellerNetworkResponse:
    """Return the MAX_SELLERS nearest sellers and all links between them, however weak."""
    response = pb.GetSellerNetworkResponse()
    ordered = sorted(surroundings.steps.items(), key=lambda item: (item[1], item[0] != seller, item[0]))[:MAX_SELLERS]
    for name, steps in ordered:
        violator = surroundings.violators.get(name)
        response.sellers.add(
            seller=seller_name(marketplace, name),
            violation=violator.violation if violator else "",
            suspended=name in suspended,
            steps=steps,
        )
    names = {name for name, _ in ordered}
    for name in sorted(names):
        for hop in surroundings.graph.hops(name, least_ppm=0):
            if hop.to in names:
                response.links.append(_link_message(marketplace, hop))
    return response


def _link_message(marketplace: str, hop: Hop) -> pb.NetworkLink:
    return message_of(
        pb.NetworkLink,
        hop,
        seller=seller_name(marketplace, hop.seller),
        other=seller_name(marketplace, hop.to),
        link_kind=hop.kind,
        end_time=hop.until,
    )


def certificate_message(
    marketplace: str,
    seller: str,
    link: LinkInForce,
    surroundings: Surroundings,
    precision: Mapping[LinkKind, Precision],
    in_force: tuple[InForce, InForce],
) -> pb.LinkCertificate:
    """Return a link's certificate; `in_force`: the seller's measures with and without its links."""
    measures, without_links = in_force
    fact = link.fact
    kinds = [LinkKind[name.upper()] for name in fact.link_kinds]
    entries_of_links = fact.rests_on[:-1]
    path = _follow_links(surroundings, seller, entries_of_links)
    return message_of(
        pb.LinkCertificate,
        link,
        fact,
        sellers=[seller_name(marketplace, name) for name in path],
        entries=fact.rests_on,
        link_kinds=kinds,
        precisions=precision_messages({kind: precision[kind] for kind in dict.fromkeys(kinds) if kind in precision}),
        terms=terms_message(measures.terms, measures.ahead_limit_minor),
        terms_without=terms_message(without_links.terms, without_links.ahead_limit_minor),
    )


def _follow_links(surroundings: Surroundings, seller: str, entries: tuple[str, ...]) -> list[str]:
    """Return the sellers on the path from `seller`; `entries`: those of each link, in order."""
    hops = {hop.entries: hop for name in surroundings.steps for hop in surroundings.graph.hops(name)}
    path = [seller]
    while entries:
        next_hop = next(
            hop for prefix, hop in hops.items() if entries[: len(prefix)] == prefix and hop.seller == path[-1]
        )
        path.append(next_hop.to)
        entries = entries[len(next_hop.entries) :]
    return path


def precision_messages(measured: Mapping[LinkKind, Precision]) -> list[pb.LinkPrecision]:
    """Return each kind's decided links, and the bounds of its precision in parts per million."""
    return [
        message_of(pb.LinkPrecision, precision, precision.decided, link_kind=kind)
        for kind, precision in measured.items()
    ]


def ring_message(marketplace: str, ring: Ring, settled_minor: int) -> pb.Ring:
    """Return a ring's message. It names the first MAX_SELLERS sellers; `size` counts all.

    `settled_minor`: what all settled, in minor units of the policy's currency.
    """
    return message_of(
        pb.Ring,
        ring,
        sellers=[seller_name(marketplace, name) for name in ring.sellers[:MAX_SELLERS]],
        size=len(ring.sellers),
        settled_minor=settled_minor,
    )


def month_messages(
    months: Iterable[Month], sellers: int, precision: Mapping[LinkKind, Precision]
) -> list[pb.LinkMonth]:
    """Return at most MAX_MONTHS months, with shares of 100,000 of all `sellers`."""
    decided = [of_kind.decided for of_kind in precision.values()]
    return [
        message_of(
            pb.LinkMonth,
            month,
            clean_touched=month.clean,
            clean_touched_per_100000=round(100_000 * month.clean / max(sellers, 1), 2),
            innocent_at_most_per_100000=bound_innocent(month.clean, sellers, decided),
        )
        for month in [*months][:MAX_MONTHS]
    ]
