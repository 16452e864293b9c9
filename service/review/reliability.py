"""How reliable a notifier is: what became of its reports, as a Beta posterior with an interval.

It is for people and for the order of their queue. It never enters a score: an answer rests on what was decided about a
violation, never on who reported it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scipy.special import betaincinv

from scoring.enums import AUTHORITIES, Source
from service.ledger.records import Record, ReportOutcome


@dataclass(frozen=True, slots=True)
class NotifierPrior:
    """What is assumed of a notifier before any of its reports was decided.

    Beta(`upheld`, `failed`).
    """

    upheld: float
    """Reports that count as upheld."""
    failed: float
    """Reports that count as failed."""
    reason: str
    """Why these numbers."""

    @property
    def mean(self) -> float:
        """Return the mean of the prior: `NotifierPrior(4, 4, "").mean == 0.5`."""
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
"""By source, with the reason. Assumptions, not measurements: each is worth eight to ten decided reports and fades behind
a notifier's own. Authorities have none: they are not judged here.
"""

AGAINST: Mapping[ReportOutcome, float] = MappingProxyType(
    {ReportOutcome.OVERTURNED: 1.0, ReportOutcome.DISMISSED: 1.0, ReportOutcome.WITHDRAWN: 0.5}
)
"""How much a report that failed counts against its notifier. To withdraw costs half, so that owning up to a mistake pays,
and reporting at random and withdrawing in time does not. Dismissed includes unproven: who reports has to show it.
"""

TAIL = 0.05
"""Probability on either side of the interval: it holds 90 %."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """The probability that a decided report of a notifier is upheld.

    Posterior mean, 90 % interval, and prior mean.
    """

    mean: float
    """The posterior mean."""
    low: float
    """The lower end of the 90 % interval."""
    high: float
    """The upper end."""
    prior: float
    """The mean of the prior."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """A notifier's record as far as it is judged, and beside it its reports as an authority."""

    record: Record
    """Its reports that are judged, by what became of them."""
    authority_reports: int
    """Its reports as an authority, which are not judged."""
    source: Source | None
    """The source whose prior it is judged by; None if it reported as an authority alone."""
    reliability: Reliability | None
    """None if it reported as an authority alone."""


def reliability_of(record: Record, source: Source) -> Reliability:
    """Return the reliability of a notifier, the posterior of its record, by its source's prior.

    The source must be no authority. A buyer's prior is Beta(4, 4), 0.5. With 20 reports dismissed the posterior is
    Beta(4, 24): mean 0.143, interval 0.052 to 0.263. With 3 upheld, 1 overturned and 2 withdrawn it is Beta(7, 6): mean
    0.538, interval 0.315 to 0.755.
    """
    prior = PRIORS[source]
    upheld = prior.upheld + record.upheld
    failed = prior.failed + sum(weight * getattr(record, outcome.name.lower()) for outcome, weight in AGAINST.items())
    low, high = (float(betaincinv(upheld, failed, tail)) for tail in (TAIL, 1 - TAIL))
    return Reliability(upheld / (upheld + failed), low, high, prior.mean)


def assess(records: Mapping[Source, Record]) -> Assessment:
    """Assess a notifier by its records under each source.

    The prior is that of the source under which it reported most; of equals the lower one.
    """
    judged = {source: record for source, record in records.items() if source not in AUTHORITIES}
    authority = sum(record.reports for source, record in records.items() if source in AUTHORITIES)
    total = Record(*(sum(getattr(record, name) for record in judged.values()) for name in Record.__slots__))
    if not judged:
        return Assessment(total, authority, None, None)
    source = max(judged, key=lambda source: (judged[source].reports, -PRIORS[source].mean, -source))
    return Assessment(total, authority, source, reliability_of(total, source))


def probability_upheld(source: Source, assessment: Assessment | None = None) -> float:
    """Return the probability that a report from a source is upheld.

    1 for an authority. Else the mean reliability in the notifier's assessment; where there is no assessment, or none of
    its reports was decided, the mean of the source's prior.
    """
    if source in AUTHORITIES:
        return 1.0
    if assessment is not None and assessment.reliability is not None:
        return assessment.reliability.mean
    return PRIORS[source].mean
