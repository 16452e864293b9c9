"""Rows of authorities and their sellers: a row goes on with its match, or is listed as one that found nobody."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from service.ingest.mapping.cells import Row, RowRejected
from service.ingest.mapping.matching import SELLER, IdentityIndex, Match, Unmatched, match
from service.ingest.mapping.rules import MappedFile
from service.ingest.sources.tables import Reject
from service.ledger.queries.identities import StatedMatch
from service.ledger.store import Ledger

MATCHED_ROWS = 5_000
"""Rows whose match is looked for at a time."""


@dataclass(frozen=True, slots=True)
class UnmatchedRow:
    """A row that found no seller."""

    file: str
    """Its file."""
    line: int
    """Its line."""
    reason: str
    """Why it found no seller."""
    candidates: str
    """The sellers among whom a person is to decide: ids, by blanks."""
    row: Row
    """Its texts by column."""
    ids: tuple[str, ...]
    """The ids of the entries it would become, which tell it from others."""
    seller: str = ""
    """Whose it is, as a person filled in."""
    verified: str = ""
    """Whether that is certain, as a person filled in."""
    decided_by: str = ""
    """Who filled that in."""


def with_matches(
    ledger: Ledger,
    marketplace: str,
    file: MappedFile,
    rows: Iterable[tuple[int, Row]],
    reject: Reject,
    unmatched: list[UnmatchedRow],
) -> Iterator[tuple[int, Row]]:
    """Yield (line, row) with the columns of the row's match; list rows without in `unmatched`.

    Those go on without a seller; a row that cannot be read is given to `reject`. A match that was made stands: what is on
    record of a row states whose it is, and whether that was verified, before any identifier does. Else the row would
    become another entry under the same id once more is known of a seller.
    """
    attributes = {identifier.attribute for identifier in file.identifiers}
    index = IdentityIndex(ledger.identities(marketplace, ledger.cut()), attributes)
    rows = iter(rows)
    while chunk := list(islice(rows, MATCHED_ROWS)):
        named = [file.name_ids(line, row) for line, row in chunk]
        known = ledger.stated_matches(marketplace, sorted({name for names in named for name in names if name}))
        for (line, row), names in zip(chunk, named, strict=True):
            if not names or SELLER in row:
                yield line, row
                continue
            try:
                found = _settled_match(names, known, match(file.identifiers, row, index))
            except RowRejected as error:
                reject(line, str(error))
                continue
            if isinstance(found, Match):
                yield line, {**row, **found.columns()}
            else:
                candidates = " ".join(found.candidates)
                unmatched.append(UnmatchedRow(file.path, line, found.reason, candidates, row, names))
                yield line, row


def _settled_match(
    names: Sequence[str], known: Mapping[str, StatedMatch], found: Match | Unmatched
) -> Match | Unmatched:
    """Return the match that stands on record for a row that names these entries.

    Else the one that was found now.
    """
    stated = [known[name] for name in names if name in known]
    if not stated:
        return found
    seller = stated[0].seller
    for one in stated:
        if one.seller == seller and one.verified is not None:
            return Match(seller, one.verified)
    return Match(seller, found == Match(seller, True))
