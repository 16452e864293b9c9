"""The metrics of all workers as one, with the label `process`, the worker's number."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

GATHER_SECONDS = 2.0
"""Later workers are left out."""


class GatheredMetrics(Collector):
    """Asks all workers at each scrape. `ask` returns the numbers of those that serve; `take` gets the answers.

    `numbers`: of all planned workers.
    """

    def __init__(self, numbers: Iterable[int], ask: Callable[[], Iterable[int]]) -> None:
        self._numbers = tuple(numbers)
        self._ask = ask
        self._changed = threading.Condition()
        self._found: dict[int, str] = {}
        self._scraping = threading.Lock()
        self.restarts: Counter[tuple[int, str]] = Counter()
        """By a worker's number and cause: `ended` or `silent`."""

    def describe(self) -> Iterable[Any]:
        """Return an empty list, so that workers are first asked at the first scrape."""
        return ()

    def take(self, number: int, text: str) -> None:
        """Take a worker's metrics in text format. Thread-safe."""
        with self._changed:
            self._found[number] = text
            self._changed.notify_all()

    def collect(self) -> Iterator[Metric]:
        with self._scraping:
            with self._changed:
                self._found = {}
            asked = {*self._ask()}
            with self._changed:
                self._changed.wait_for(lambda: asked <= self._found.keys(), GATHER_SECONDS)
                found = dict(self._found)
        up = GaugeMetricFamily("sellertrust_process_up", "Whether a process answers.", labels=("process",))
        restarts = CounterMetricFamily(
            "sellertrust_process_restarts", "Processes started anew, by why.", labels=("process", "cause")
        )
        for number in self._numbers:
            up.add_metric((str(number),), float(number in found))
            for cause in ("ended", "silent"):
                restarts.add_metric((str(number), cause), self.restarts[number, cause])
        yield up
        yield restarts
        yield from merge_metrics(found).values()


def merge_metrics(texts: Mapping[int, str]) -> dict[str, Metric]:
    families: dict[str, Metric] = {}
    for number, text in sorted(texts.items()):
        for family in text_string_to_metric_families(text):
            merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                merged.samples.append(sample._replace(labels={"process": str(number), **sample.labels}))
    return families
