"""A notifier's reliability: a Beta posterior, with an interval, of the decisions about its reports.

It serves people and their queue, and never enters a score.
"""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType

from scipy.special import betaincinv

from scoring.base.enums import AUTHORITIES, Source
from scoring.base.frozen import frozen
from service.ledger.records import Record, ReportOutcome


@frozen
class NotifierPrior:
    """The assumption before any decision: Beta(`upheld`, `failed`)."""

    upheld: float
    failed: float
    reason: str

    @property
    def mean(self) -> float:
        """Return the assumed share of upheld reports, 0 to 1, before any decision."""
        return self.upheld / (self.upheld + self.failed)


PRIORS: Mapping[Source, NotifierPrior] = MappingProxyType(
    {
        Source.TEST_BUY: NotifierPrior(9, 1, "bought the goods, which are there to be examined"),
        Source.RANDOM_AUDIT: NotifierPrior(9, 1, "had somebody trained look, at sellers that nobody accused"),
        Source.BRAND: NotifierPrior(
            7, 3, "knows its goods and registers its rights, and has an interest in fewer sellers"
        ),
        Source.PLATFORM_DETECTION: NotifierPrior(
            6, 4, "finds what resembles a breach; its thresholds are set to find more"
        ),
        Source.PARTNER: NotifierPrior(6, 4, "knows the trade, and sees a part of it"),
        Source.BUYER: NotifierPrior(4, 4, "holds the goods, and may be mistaken, or a competitor"),
    }
)
"""By source, with the reason: assumptions, each worth eight to ten decided reports. Authorities are not judged."""

AGAINST: Mapping[ReportOutcome, float] = MappingProxyType(
    {ReportOutcome.OVERTURNED: 1.0, ReportOutcome.DISMISSED: 1.0, ReportOutcome.WITHDRAWN: 0.5}
)
"""The weight of a failed report.

Withdrawal counts half, so admitting a mistake pays. Dismissed includes unproven.
"""

TAIL = 0.05
"""On each side of the 90 % interval."""


@frozen
class Reliability:
    mean: float
    low: float
    """The 90 % interval, to `high`."""
    high: float
    prior: float
    """The mean of the source's prior."""


@frozen
class Assessment:
    record: Record
    """By outcome."""
    authority_reports: int
    """Not judged."""
    source: Source | None
    """None for authorities alone."""
    reliability: Reliability | None


def reliability_of(record: Record, source: Source) -> Reliability:
    """Return a notifier's reliability, with its 90 % interval, from its record and the prior of its source.

    Raises KeyError for an authority, which has no prior. Worked: a buyer's prior is Beta(4, 4), mean 0.5. With 20
    dismissed reports: Beta(4, 24), mean 0.143, interval 0.052 to 0.263. With 3 upheld, 1 overturned and 2 withdrawn:
    Beta(7, 6), mean 0.538, interval 0.315 to 0.755.
    """
    prior = PRIORS[source]
    upheld = prior.upheld + record.upheld
    failed = prior.failed + sum(weight * getattr(record, outcome.word) for outcome, weight in AGAINST.items())
    low, high = (float(betaincinv(upheld, failed, tail)) for tail in (TAIL, 1 - TAIL))
    return Reliability(upheld / (upheld + failed), low, high, prior.mean)


def assess(records: Mapping[Source, Record]) -> Assessment:
    """Assess a notifier by its records under each source.

    The prior is of its most frequent source; of equals the lower prior.
    """
    judged = {source: record for source, record in records.items() if source not in AUTHORITIES}
    authority = sum(record.reports for source, record in records.items() if source in AUTHORITIES)
    total = Record(*(sum(getattr(record, field.name) for record in judged.values()) for field in fields(Record)))
    if not judged:
        return Assessment(total, authority, None, None)
    source = max(judged, key=lambda source: (judged[source].reports, -PRIORS[source].mean, -source))
    return Assessment(total, authority, source, reliability_of(total, source))


def probability_upheld(source: Source, assessment: Assessment | None = None) -> float:
    """Return the probability that a report is upheld: 1 for an authority, else the notifier's mean, else the prior
    mean.
    """
    if source in AUTHORITIES:
        return 1.0
    if assessment is not None and assessment.reliability is not None:
        return assessment.reliability.mean
    return PRIORS[source].mean
