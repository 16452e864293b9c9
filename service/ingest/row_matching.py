from collections.abc import Mapping, Sequence
from itertools import islice

from scoring.base.frozen import frozen
from service.ingest.mapping.cells import NumberedRows, Row, RowRejected
from service.ingest.mapping.matching import SELLER, IdentityIndex, Match, NoMatch, match
from service.ingest.mapping.rules import MappedFile
from service.ingest.sources.tables import Reject
from service.ledger.queries.identities import IdentifierMatch
from service.ledger.store import Ledger

MATCHED_ROWS = 5_000


@frozen
class UnmatchedRow:
    file: str
    line: int
    reason: str
    candidates: str
    row: Row
    ids: tuple[str, ...]
    """The entry ids it would give, which identify it."""
    seller: str = ""
    verified: str = ""
    decided_by: str = ""


def add_matches(
    ledger: Ledger,
    marketplace: str,
    file: MappedFile,
    rows: NumberedRows,
    reject: Reject,
    unmatched: list[UnmatchedRow],
) -> NumberedRows:
    """Yield (line, row) with the match's columns, if any; list rows without a match in `unmatched`.

    A recorded match wins over identifiers; otherwise the row could later become another entry with the same id.
    Unreadable rows go to `reject`.
    """
    attributes = {identifier.attribute for identifier in file.identifiers}
    index = IdentityIndex(ledger.identities.in_force(marketplace, ledger.cut()), attributes)
    rows = iter(rows)
    while chunk := list(islice(rows, MATCHED_ROWS)):
        named = [file.list_ids(line, row) for line, row in chunk]
        known_names = ledger.identities.stated_by(
            marketplace, sorted({name for names in named for name in names if name})
        )
        for (line, row), names in zip(chunk, named, strict=True):
            if not names or SELLER in row:
                yield line, row
                continue
            try:
                outcome = _choose_match(names, known_names, match(file.identifiers, row, index))
            except RowRejected as error:
                reject(line, str(error))
                continue
            if isinstance(outcome, Match):
                yield line, {**row, **outcome.columns()}
            else:
                candidates = " ".join(outcome.candidates)
                unmatched.append(UnmatchedRow(file.path, line, outcome.reason, candidates, row, names))
                yield line, row


def _choose_match(
    names: Sequence[str], matches: Mapping[str, IdentifierMatch], proposed: Match | NoMatch
) -> Match | NoMatch:
    """Return the match recorded for an id of the row; else the proposed one."""
    stated_matches = [matches[name] for name in names if name in matches]
    if not stated_matches:
        return proposed
    seller = stated_matches[0].seller
    for stated in stated_matches:
        if stated.seller == seller and stated.verified is not None:
            return Match(seller, stated.verified)
    return Match(seller, proposed == Match(seller, True))
