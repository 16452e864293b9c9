import re
from collections.abc import Sequence

from scoring.base.frozen import frozen

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_NUMBERED = re.compile(r"(?<![\[\w])[\w.~-]*\d[\w.:~-]*")

REMEDIES: Sequence[tuple[str, str]] = (
    (
        r"is no date|is not a date|not a time such as|is not of the form|no offset from UTC",
        'state how dates are written: dates = "%d/%m/%Y", or { format = ..., offset = ... } for times; leave out rows without'
        " one by when = { column = ..., filled = true }",
    ),
    (
        r" is not in .* in column | in column .* is not in ",
        'add the text to the map, or state what any other is by default = "..."',
    ),
    (
        r"is not a (whole )?number|is not a number",
        "leave such rows out by when = { column = ..., not_in = [...] }, or round by { column = ..., multiply = 1 }",
    ),
    (
        r"has other content",
        "another row or an earlier import used this id: add to entry_id what tells two rows apart, such as {line} or a date;"
        " state a change by a correction or a higher revision",
    ),
    (
        r"^entry_id: .* that of the ",
        "make entry_id of columns that are never empty and hold no other characters; {line} always is one",
    ),
    (r"^seller: ", "give the column that holds the seller's id; leave out rows without one by filled = true"),
    (
        r"is unknown\. Use ",
        'translate your words: { column = ..., map = { yours = "ours" }, default = "ours" }',
    ),
    (r"its report on this row was rejected", "mend the report on the same row"),
    (
        r"ALREADY|lifecycle|is not allowed|may follow|forbids",
        "the decision does not follow from the one before it: look at the order of the rows and their times",
    ),
)
"""By a pattern of the reason; the first match applies."""


@frozen
class RejectGroup:
    file: str
    number: int
    """Rejected lines."""
    line: int
    reason: str
    remedy: str
    """Empty if no pattern applies."""


def group_rejects(rejects: Sequence[tuple[str, int, str]]) -> list[RejectGroup]:
    """Group rejects (file, line, reason) by file and reason, the group of most lines first.

    Reasons are equal if they differ only in quoted texts and numbers.
    """
    rows_by_form: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for file, line, reason in rejects:
        form = _NUMBERED.sub("...", _QUOTED.sub("...", reason))
        rows_by_form.setdefault((file, form), []).append((line, reason))
    groups = []
    for (file, _), rows in rows_by_form.items():
        line, reason = min(rows, key=lambda row: row[0])
        groups.append(RejectGroup(file, len({line for line, _ in rows}), line, reason, _find_remedy(reason)))
    return sorted(groups, key=lambda group: -group.number)


def _find_remedy(reason: str) -> str:
    return next((remedy for pattern, remedy in REMEDIES if re.search(pattern, reason)), "")
