"""The report: how large it is and how long it takes, with 200 features, each with its table."""

import statistics
import time
from collections.abc import Callable

from tests.training.report import sample
from training.report.page import render

FEATURES, ROUNDS = 200, 5


def run(show: Callable[[str, float], None], progress: Callable[[str, int, int], None]) -> None:
    """`report.mb` in 10^6 bytes; `report.render_s`, the median of a few, in a process that has the templates loaded."""
    parts = sample.parts()
    evaluation, certificate = parts["evaluation"], parts["certificate"]
    known = evaluation["page"]["tables"]
    names = [f"attribute_{k}@1" for k in range(FEATURES - len(known))]
    evaluation["page"]["tables"] = known + [
        {**known[k % len(known)], "features": [name]} for k, name in enumerate(names)
    ]
    evaluation["psi"]["features"] += [{"feature": name, "value": 0.01, "critical": 0.02} for name in names]
    certificate["directions"] |= dict.fromkeys(names, -1)
    render(**parts)
    seconds = []
    for done in range(ROUNDS):
        progress("render the report", done, ROUNDS)
        started = time.perf_counter()
        page = render(**parts)
        seconds.append(time.perf_counter() - started)
    progress("render the report", ROUNDS, ROUNDS)
    show("report.mb", round(len(page.encode()) / 1e6, 3))
    show("report.render_s", round(statistics.median(seconds), 3))
