from collections.abc import Iterable
from dataclasses import asdict

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.web.badges import Badges


class BadgeMetrics(Collector):
    def __init__(self, badges: Badges) -> None:
        self._badges = badges

    def collect(self) -> Iterable[Metric]:
        counts = asdict(self._badges.counts)
        failed = counts.pop("failed_calls")
        text = "Requests of badges, by where the badge came from: kept, asked, stale, or unknown."
        requests = CounterMetricFamily("sellertrust_badge_requests", text, labels=("found",))
        for outcome, number in counts.items():
            requests.add_metric((outcome,), number)
        yield requests
        yield CounterMetricFamily("sellertrust_badge_failed_calls", "Calls of the server that failed.", value=failed)
        text = "Sellers whose badge is kept, ids that are no sellers included."
        yield GaugeMetricFamily("sellertrust_badge_kept_sellers", text, value=self._badges.kept_sellers())
        text = "1 while the server does not answer."
        yield GaugeMetricFamily("sellertrust_badge_server_away", text, value=float(self._badges.is_away))
