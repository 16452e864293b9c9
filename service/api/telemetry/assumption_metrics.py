"""The metrics of a loss certificate: whether the ledger contradicts its assumptions, and whether its policy is served."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scoring.certificate.assumptions import parse_assumptions
from scoring.certificate.contradictions import Seen, find_contradictions
from scoring.errors import SellertrustError

LOOK_SECONDS = 3_600.0
"""Time between two looks at the ledger, which reads every report of fraud and of orders that were not kept."""

ASSUMPTIONS = ("stop", "runners", "overturned")


class AssumptionMetrics(Collector):
    """The metrics `sellertrust_loss_*`. A scrape answers by the last look, and begins another in a thread when it is due."""

    def __init__(
        self,
        certificate: Mapping[str, Any],
        look: Callable[[], Seen],
        served_policy: Callable[[], str],
        seconds: float = LOOK_SECONDS,
    ) -> None:
        """Take a certificate's data; nothing is read of the ledger yet.

        `look`: reads the cases; `served_policy`: the digest of the policy that is served; `seconds`: between looks.
        """
        self._assumptions = parse_assumptions(certificate["assumptions"])
        self._policy: str = certificate["policy"]["digest"]
        self._look, self._served_policy, self._seconds = look, served_policy, seconds
        self._lock = threading.Lock()
        self._due = 0.0
        self._contradicted: set[str] | None = None
        self._cases = self._failures = 0

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics by the last look; before the first one is done, none of what it finds."""
        with self._lock:
            is_due = time.monotonic() >= self._due
            if is_due:
                self._due = time.monotonic() + self._seconds
        if is_due:
            threading.Thread(target=self._renew, name="loss-assumptions", daemon=True).start()
        yield GaugeMetricFamily(
            "sellertrust_loss_certificate_served",
            "Whether the loss certificate is of the policy that is served.",
            value=float(self._served_policy() == self._policy),
        )
        yield CounterMetricFamily("sellertrust_loss_look_failures", "Looks that failed.", value=self._failures)
        if self._contradicted is None:
            return
        yield GaugeMetricFamily("sellertrust_loss_cases", "Sellers that ran, on record.", value=self._cases)
        family = GaugeMetricFamily(
            "sellertrust_loss_assumption_contradicted",
            "Whether the ledger contradicts an assumption of the loss certificate.",
            labels=["assumption"],
        )
        for name in ASSUMPTIONS:
            family.add_metric([name], float(name in self._contradicted))
        yield family

    def _renew(self) -> None:
        """Look at the ledger once; a failure leaves what was found before, and is counted."""
        try:
            seen = self._look()
        except SellertrustError:
            self._failures += 1
            return
        self._cases = len(seen.cases)
        self._contradicted = {one.assumption for one in find_contradictions(self._assumptions, seen)}
