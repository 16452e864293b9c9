import threading
import time
import tomllib
from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scoring.base.errors import SellertrustError
from scoring.loss_certificate.assumptions import parse_assumptions
from scoring.loss_certificate.contradictions import Seen, find_contradictions

LOOK_SECONDS = 3_600.0
"""Time between two checks; each reads all reports of fraud and failed orders."""

ASSUMPTIONS = ("stop", "runners", "overturned")


class AssumptionMetrics(Collector):
    """The metrics `sellertrust_loss_*` by the last check. A scrape starts the next check when it is due."""

    def __init__(self, assumptions: Callable[[], str], look: Callable[[], Seen], seconds: float = LOOK_SECONDS) -> None:
        """Store `assumptions` (the last committed text), `look` (reads the cases) and `seconds` (between checks)."""
        self._assumptions, self._look, self._seconds = assumptions, look, seconds
        self._lock = threading.Lock()
        self._due = 0.0
        self._contradicted: set[str] | None = None
        self._cases = self._failures = 0

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            is_due = time.monotonic() >= self._due
            if is_due:
                self._due = time.monotonic() + self._seconds
        if is_due:
            threading.Thread(target=self._renew, name="loss-assumptions", daemon=True).start()
        yield CounterMetricFamily("sellertrust_loss_look_failures", "Looks that failed.", value=self._failures)
        if self._contradicted is None:
            return
        yield GaugeMetricFamily("sellertrust_loss_cases", "Sellers that ran, on record.", value=self._cases)
        family = GaugeMetricFamily(
            "sellertrust_loss_assumption_contradicted",
            "Whether the ledger contradicts an assumption of the last certified commit.",
            labels=["assumption"],
        )
        for name in ASSUMPTIONS:
            family.add_metric([name], float(name in self._contradicted))
        yield family

    def _renew(self) -> None:
        try:
            text = self._assumptions()
            seen = self._look() if text else None
        except SellertrustError:
            self._failures += 1
            return
        if seen is not None:
            self._cases = len(seen.cases)
            found = find_contradictions(parse_assumptions(tomllib.loads(text)), seen)
            self._contradicted = {one.assumption for one in found}
