"""Lists of a marketplace for a caller who may see some of its sellers: theirs alone, in the order of the whole."""

from collections.abc import Iterator

from scoring.enums import Status
from service.call_context import current_call
from service.contract.resource_names import Parent
from service.ledger.records import Cut, RecordedEntry, ViolationView
from service.ledger.store import Ledger


def visible_entries(ledger: Ledger, parent: Parent, cut: Cut, after: int, limit: int) -> list[RecordedEntry]:
    """Return the first `limit` entries after a sequence, of a parent, that the caller may see.

    As of the cut, by sequence. What is of no seller, such as a violation of a product, is for callers who may see every
    seller.
    """
    found = [
        recorded
        for seller in _sellers(parent)
        for recorded in ledger.entries(parent.marketplace, cut, seller=seller, after_sequence=after, limit=limit)
    ]
    return sorted(found, key=lambda recorded: recorded.sequence)[:limit]


def visible_violations(
    ledger: Ledger, parent: Parent, cut: Cut, statuses: tuple[Status, ...], after: int, limit: int
) -> tuple[list[ViolationView], int | None]:
    """Return a page of a parent's violations that the caller may see, and where to go on.

    By the sequence of their reports; the second value is the sequence for the next page, None at the end. At most `limit`
    are looked at, and those of other statuses left out.
    """
    pages = [
        ledger.violations(parent.marketplace, cut, seller=seller, statuses=statuses, after_sequence=after, limit=limit)
        for seller in _sellers(parent)
    ]
    ends = [following for _, following in pages if following is not None]
    end = min(ends, default=None)
    found = sorted(
        (view for page, _ in pages for view in page if end is None or view.sequence <= end),
        key=lambda view: view.sequence,
    )
    if len(found) > limit:
        return found[:limit], found[limit - 1].sequence
    return found, end


def _sellers(parent: Parent) -> Iterator[str | None]:
    """Yield the sellers to list one by one; None for all of them at once."""
    visible = current_call().visible_sellers
    if parent.seller is not None or visible is None:
        yield parent.seller
    else:
        yield from sorted(visible)
