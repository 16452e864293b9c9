import threading
from random import Random

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from service.api.telemetry.plain_metrics import PlainCounter, PlainHistogram

BOUNDS = (0.001, 0.25, 1, 10)


def test_plain_metrics_read_as_those_of_prometheus() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    calls = PlainCounter("calls", "Calls.", ("method", "code"), ours)
    seconds = PlainHistogram("seconds", "Time.", ("method",), ours, BOUNDS)
    calls_of_client = Counter("calls", "Calls.", ("method", "code"), registry=theirs)
    seconds_of_client = Histogram("seconds", "Time.", ("method",), registry=theirs, buckets=BOUNDS)

    def count(seed: int) -> None:
        chance = Random(seed)
        for _ in range(500):
            method, code = chance.choice("AB"), chance.choice(["OK", "NOT_FOUND"])
            took = chance.choice([0.0, 0.001, 0.0011, 0.25, 0.5, 1.0, 10.0, 10.5])
            calls.add(method, code)
            seconds.observe(took, method)
            calls_of_client.labels(method, code).inc()
            seconds_of_client.labels(method).observe(took)

    threads = [threading.Thread(target=count, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines_of(ours) == lines_of(theirs)


def lines_of(registry: CollectorRegistry) -> list[str]:
    """Return the lines of a registry's text, without creation times; sums to nine digits."""
    text = generate_latest(registry).decode()
    lines = [line for line in text.splitlines() if "_created" not in line]
    return sorted(f"{line.rpartition(' ')[0]} {_rounded(line.rpartition(' ')[2])}" for line in lines)


def _rounded(value: str) -> str:
    try:
        return f"{float(value):.9g}"
    except ValueError:
        return value
