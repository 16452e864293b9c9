"""Groups reports into incidents, so that a count of complaints never multiplies.

Reports that leave `incident` empty are one incident if one notifier made them about the same right and listing in one
week. The rule reads the report alone, so the order of arrival does not matter.
"""

from hashlib import sha256

from scoring.base.time import day_of
from scoring.entries.kinds.conduct import ViolationReported

DERIVED_ID_PREFIX = "auto~"
"""Prefix of the ledger's own ids; a caller's `entry_id` may not begin with it."""

_MONDAY = 4  # 1970-01-05, in days


def assign_incident(entry_id: str, fact: ViolationReported, occur_time: int) -> str:
    """Return the id of the incident of a report.

    A stated incident is kept. Without a notifier, or with neither a right nor a listing, the report's `entry_id` is its
    incident. Otherwise each notifier, right, listing and week has one incident. Two reports of `n` about listing `l` on
    Monday 1970-01-05 and on Sunday 1970-01-11 share an incident; on the Monday after, another begins.
    """
    if fact.incident:
        return fact.incident
    if not fact.notifier or not (fact.right or fact.listing):
        return entry_id
    week = (day_of(occur_time) - _MONDAY) // 7
    key = "\x1f".join((fact.notifier, fact.right, fact.listing, str(week)))
    return DERIVED_ID_PREFIX + sha256(key.encode()).hexdigest()[:24]


def derived_id(origin: str, about: str) -> str:
    """Return the id of a derived entry, always the same for the same arguments.

    `origin`: the id of the entry from which it derives; `about`: the seller or violation that it concerns.
    """
    return DERIVED_ID_PREFIX + sha256(f"{origin}\x1f{about}".encode()).hexdigest()[:32]
