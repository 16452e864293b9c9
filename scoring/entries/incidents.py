"""The rule that groups reports into incidents, so that a count of complaints never multiplies.

Reports whose `incident` is left empty are one incident if one notifier made them about the same right and listing in
one week. It looks at the report alone, so the order of arrival does not matter.
"""

from hashlib import sha256

from scoring.entries.kinds.conduct import ViolationReported
from scoring.time import day_of

AUTO = "auto~"
"""How ids begin that the ledger makes itself; a caller's `entry_id` may not."""

_MONDAY = 4  # 1970-01-05, in days


def incident_of(entry_id: str, fact: ViolationReported, occur_time: int) -> str:
    """The incident of a report: the stated one, the one of the rule, or one of its own, called by its `entry_id`.

    Two reports of `n` about listing `l` on Monday 1970-01-05 and on Sunday 1970-01-11 share one, on the Monday after
    that another begins. A report that names neither a right nor a listing, or no notifier, is not grouped.
    """
    if fact.incident:
        return fact.incident
    if not fact.notifier or not (fact.right or fact.listing):
        return entry_id
    week = (day_of(occur_time) - _MONDAY) // 7
    key = "\x1f".join((fact.notifier, fact.right, fact.listing, str(week)))
    return AUTO + sha256(key.encode()).hexdigest()[:24]


def derived_id(origin: str, about: str) -> str:
    """The id of the entry that the ledger derives from `origin` for a seller or a violation, the same each time."""
    return AUTO + sha256(f"{origin}\x1f{about}".encode()).hexdigest()[:32]
