"""Finds the sellers of authorities' rows; lists the rows without one."""

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
"""Rows matched together."""


@dataclass(frozen=True, slots=True)
class UnmatchedRow:
    file: str
    line: int
    reason: str
    candidates: str
    """Possible sellers: ids separated by blanks."""
    row: Row
    """Texts by column."""
    ids: tuple[str, ...]
    """The entry ids it would give, which identify it."""
    seller: str = ""
    """As a person filled in."""
    verified: str = ""
    """Whether that is certain, as a person filled in."""
    decided_by: str = ""
    """The person who filled it in."""


def with_matches(
    ledger: Ledger,
    marketplace: str,
    file: MappedFile,
    rows: Iterable[tuple[int, Row]],
    reject: Reject,
    unmatched: list[UnmatchedRow],
) -> Iterator[tuple[int, Row]]:
    """Yield (line, row) with the match's columns; list rows without a match in `unmatched`.

    Unreadable rows go to `reject`. A recorded match wins over identifiers; otherwise the row would become another entry
    with the same id once more is known of a seller.
    """
    attributes = {identifier.attribute for identifier in file.identifiers}
    index = IdentityIndex(ledger.identities.in_force(marketplace, ledger.cut()), attributes)
    rows = iter(rows)
    while chunk := list(islice(rows, MATCHED_ROWS)):
        named = [file.name_ids(line, row) for line, row in chunk]
        known = ledger.identities.stated_by(marketplace, sorted({name for names in named for name in names if name}))
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
    """Return the recorded match of a row with these entries, else the one found now."""
    stated = [known[name] for name in names if name in known]
    if not stated:
        return found
    seller = stated[0].seller
    for one in stated:
        if one.seller == seller and one.verified is not None:
            return Match(seller, one.verified)
    return Match(seller, found == Match(seller, True))
