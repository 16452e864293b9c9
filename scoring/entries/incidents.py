"""Groups reports into incidents, so that a count of complaints never multiplies. The rule reads the report alone."""

from hashlib import sha256

from scoring.base.time import day_of
from scoring.entries.kinds.conduct import ViolationReported

DERIVED_ID_PREFIX = "auto~"
"""The prefix of the ledger's own ids; no caller may use it."""

_MONDAY = 4  # 1970-01-05, in days


def assign_incident(entry_id: str, fact: ViolationReported, occur_time: int) -> str:
    """Return the id of the incident of a report.

    A stated one is kept. Otherwise each notifier, right, listing and week (Monday to Sunday, UTC) has one. It is the
    `entry_id` if the notifier, or both right and listing, are missing.
    """
    if fact.incident:
        return fact.incident
    if not fact.notifier or not (fact.right or fact.listing):
        return entry_id
    week = (day_of(occur_time) - _MONDAY) // 7
    key = "\x1f".join((fact.notifier, fact.right, fact.listing, str(week)))
    return DERIVED_ID_PREFIX + sha256(key.encode()).hexdigest()[:24]


def derived_id(origin: str, about: str) -> str:
    """Return the id of a derived entry, the same for the same arguments; `about`: the seller or violation."""
    return DERIVED_ID_PREFIX + sha256(f"{origin}\x1f{about}".encode()).hexdigest()[:32]
