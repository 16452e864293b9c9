from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.scores.book.book import Book


@dataclass(frozen=True)
class BookMetrics(Collector):
    _book: Book

    def collect(self) -> Iterator[Metric]:
        book, table, follower = self._book, self._book.table, self._book.follower
        total = book.tally.total
        yield _counter(
            "answers",
            "Scores answered for now.",
            "how",
            {how: total(how) for how in ("hit", "miss", "stale", "unknown")},
        )
        yield _counter("dropped", "Remembered scores that an entry, or another ledger, ended.", "", table.dropped)
        yield _counter("evicted", "Remembered scores that gave way to others.", "", table.evicted)
        yield _counter(
            "late", "Scores that an entry had overtaken by the time they were to be remembered.", "", table.late
        )
        checked = {"same": total("same"), "differed": total("differed"), "failed": total("not_checked")}
        yield _counter("recomputed", "Remembered scores recomputed; none may differ.", "outcome", checked)
        yield _counter("follower_failures", "Looks at the ledger that failed.", "", follower.failures)
        yield _counter("restarts", "Times that the ledger turned out to be another one.", "", follower.restarts)
        yield _gauge("sellers", "Sellers whose scores are remembered.", len(table))
        yield _gauge("age_seconds", "Time since the remembered scores reflected the ledger.", follower.age())
        yield _gauge("generations", "Generations that are answered from.", len(book.generations))
        damaged = 0 if book.keeper is None else book.keeper.damaged
        yield _counter("generations_damaged", "Generations that were damaged, and are set aside.", "", damaged)
        yield _counter("adopted", "Scores that were remembered out of a generation.", "", table.adopted)
        mark = follower.watermark
        yield _gauge("sequence", "The sequence that they reflect.", 0 if mark is None else mark.sequence)


def _counter(name: str, help_text: str, label: str, value: int | dict[str, int]) -> Metric:
    name = f"sellertrust_book_{name}"
    if not isinstance(value, dict):
        return CounterMetricFamily(name, help_text, value=value)
    family = CounterMetricFamily(name, help_text, labels=[label])
    for key, number in value.items():
        family.add_metric([key], number)
    return family


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"sellertrust_book_{name}", help_text, value=value)
