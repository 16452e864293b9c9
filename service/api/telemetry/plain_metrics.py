"""Cheap metrics: each thread has plain counters, which a scrape adds up."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from service.tally import PerThread, Tally


class PlainCounter(Collector):
    def __init__(self, name: str, help_text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._about = (name, help_text, tuple(labels))
        self._counts: Tally[tuple[str, ...]] = Tally()
        registry.register(self)

    def add(self, *values: str) -> None:
        """Count 1 for these values of the labels, in order."""
        self._counts.add(values)

    def collect(self) -> Iterator[CounterMetricFamily]:
        name, help_text, labels = self._about
        family = CounterMetricFamily(name, help_text, labels=labels)
        for values, number in self._counts.totals().items():
            family.add_metric(values, number)
        yield family


class PlainHistogram(Collector):
    """Durations by labels, counted at the smallest of the ascending `bounds` (seconds) that they do not exceed."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str], registry: CollectorRegistry, bounds: Sequence[float]
    ) -> None:
        self._about = (name, help_text, tuple(labels))
        self._bounds = tuple(bounds)
        # By thread and labels: the durations at each bound, those beyond all bounds, and the sum in seconds.
        self._cells: PerThread[dict[tuple[str, ...], list[float]]] = PerThread(dict)
        registry.register(self)

    def observe(self, seconds: float, *values: str) -> None:
        """Count a duration under these values of the labels, in order; without a lock."""
        cells = self._cells.of_this_thread()
        try:
            cell = cells[values]
        except KeyError:
            cell = cells[values] = [0] * (len(self._bounds) + 2)
        cell[bisect_left(self._bounds, seconds)] += 1
        cell[-1] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        name, help_text, labels = self._about
        family = HistogramMetricFamily(name, help_text, labels=labels)
        sums: dict[tuple[str, ...], list[float]] = {}
        for cells in self._cells.all():
            for values, cell in list(cells.items()):  # atomic, so that no thread adds a cell in between
                totals = sums.setdefault(values, [0] * len(cell))
                sums[values] = [first + second for first, second in zip(totals, cell, strict=True)]
        ends = [*map(_format_bound, self._bounds), "+Inf"]
        for values, (*counts, seconds) in sums.items():
            family.add_metric(values, list(zip(ends, accumulate(counts), strict=True)), seconds)
        yield family


def _format_bound(bound: float) -> str:
    return str(float(bound))
