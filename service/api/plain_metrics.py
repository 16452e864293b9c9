"""Metrics that cost a call next to nothing: plain counters of each thread, added up when somebody scrapes them."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from service.tally import Tally

NANOS = 1_000_000_000


class PlainCounter(Collector):
    """A counter by labels."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._about = (name, help_text, tuple(labels))
        self._counts: Tally[tuple[str, ...]] = Tally()
        registry.register(self)

    def add(self, *values: str) -> None:
        """Count one more under the values of the labels."""
        self._counts.add(values)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counts by now."""
        name, help_text, labels = self._about
        family = CounterMetricFamily(name, help_text, labels=labels)
        for values, number in self._counts.totals().items():
            family.add_metric(values, number)
        yield family


class PlainHistogram(Collector):
    """Durations by labels, counted by the least of the `bounds` (seconds, ascending) that they do not exceed."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str], registry: CollectorRegistry, bounds: Sequence[float]
    ) -> None:
        self._about = (name, help_text, tuple(labels))
        self._bounds = tuple(bounds)
        self._counts: Tally[tuple[tuple[str, ...], int]] = Tally()
        self._nanos: Tally[tuple[str, ...]] = Tally()
        registry.register(self)

    def observe(self, seconds: float, *values: str) -> None:
        """Count a duration under the values of the labels."""
        self._counts.add((values, bisect_left(self._bounds, seconds)))
        self._nanos.add(values, round(seconds * NANOS))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the counts by now."""
        name, help_text, labels = self._about
        family = HistogramMetricFamily(name, help_text, labels=labels)
        counts = self._counts.totals()
        ends = [*map(_text, self._bounds), "+Inf"]
        for values, nanos in self._nanos.totals().items():
            below = accumulate(counts.get((values, place), 0) for place in range(len(ends)))
            family.add_metric(values, list(zip(ends, below, strict=True)), nanos / NANOS)
        yield family


def _text(bound: float) -> str:
    """Return a bound as Prometheus has it: `_text(1) == "1.0"`."""
    return str(float(bound))
