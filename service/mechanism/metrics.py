from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.mechanism.worker import MechanismWorker


class MechanismMetrics(Collector):
    def __init__(self, worker: MechanismWorker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        worker, prefix = self._worker, "sellertrust_mechanism_"
        text = "Changes of measures that this server recorded."
        yield CounterMetricFamily(f"{prefix}recorded", text, value=worker.appended)
        text = "Tries to record a seller's measures that were refused."
        yield CounterMetricFamily(f"{prefix}refusals", text, value=worker.refusals.count)
        text = "Sellers whose measures are not recorded, and tried again."
        yield GaugeMetricFamily(f"{prefix}refused_sellers", text, value=len(worker.refusals))
        text = "Age of the time as of which sellers are evaluated at present; 0 if the record is up to date."
        yield GaugeMetricFamily(f"{prefix}behind_seconds", text, value=worker.behind_seconds)
        text = "Entries that the record of measures has not followed."
        yield GaugeMetricFamily(f"{prefix}behind_entries", text, value=worker.behind)
        text = "Cases of cautions that wait for a person to decide."
        yield GaugeMetricFamily("sellertrust_cases_open", text, value=worker.open_cases)
        text = "Cases of cautions whose deadline has passed and that nobody has decided."
        yield GaugeMetricFamily("sellertrust_cases_overdue", text, value=worker.overdue_cases)
