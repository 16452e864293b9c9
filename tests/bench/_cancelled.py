"""Whether a server's memory grows with the number of calls, some of them cancelled by their callers."""

import shutil
import tempfile
import threading
from collections import Counter
from pathlib import Path

import psutil

from tests.bench._h2load import h2load_for, write_body
from tests.bench._overload import Show, answered_ok
from tests.bench._processes import metrics_address
from tests.helpers.filled import SELLERS, prepare
from tests.helpers.load import SCORE, Found, Plan, loading, requests_of
from tests.helpers.shells import serving, shell_of

SHARE = 0.05
CALLS = 2_000_000
ROUND_SECONDS = 30.0
WARM_ROUNDS = 2

MAX_ROUNDS = 60
FIRST_RATE = 250.0


def run(show: Show, calls: int = CALLS, seconds: float = ROUND_SECONDS) -> None:
    has_h2load = shutil.which("h2load") is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        with serving(shell_of(folder, metrics_address="127.0.0.1:0"), folder) as address:
            [server] = [
                process
                for process in psutil.Process().children(recursive=True)
                if process.status() != psutil.STATUS_ZOMBIE and "serve" in process.cmdline()
            ]
            metrics = metrics_address(folder / "server.log")
            body = write_body(folder / "body", requests_of(SCORE, 1)[0])
            codes, failed, others, early, rate, rounds = Counter[str](), 0, 0, 0, FIRST_RATE, 0
            while rounds <= WARM_ROUNDS or (codes.total() + others < calls and rounds < MAX_ROUNDS):
                before = answered_ok(metrics)
                found = _round(address, body, seconds, rate if has_h2load else 0.0)
                own = sum((Counter(one.codes) for one in found), Counter[str]())
                codes += own
                if rounds >= WARM_ROUNDS:  # a cold server rejects calls beyond what it can compute
                    failed += own.total() - own["OK"] - own["CANCELLED"]
                if has_h2load:
                    made = round(answered_ok(metrics) - before) - own["OK"]
                    others, rate = others + made, SHARE / (1 - SHARE) * made / seconds
                rounds += 1
                if rounds == WARM_ROUNDS:
                    early = server.memory_info().rss
            late = server.memory_info().rss
    show("cancelled.tries", codes.total() + others)
    show("cancelled.cancelled", codes["CANCELLED"])
    show("cancelled.share", round(codes["CANCELLED"] / (codes.total() + others), 4))
    show("cancelled.failed", failed)
    show("cancelled.memory_mb", round(late / 1e6, 1))
    show("cancelled.growth_mb", round((late - early) / 1e6, 1))


def _round(address: str, body: Path, seconds: float, rate: float) -> list[Found]:
    if not rate:
        plan = Plan(address, seconds, at_a_time=8, deadline_seconds=10, cancelled_share=SHARE, sellers=SELLERS)
        with loading([plan] * 4) as found:
            pass
        return found
    plan = Plan(address, seconds, rate=rate, deadline_seconds=10, cancelled_share=1.0, sellers=SELLERS)
    arguments = (seconds, address, f"sellertrust.v1.{SCORE}", body, "-c4", "-m8")
    other = threading.Thread(target=h2load_for, args=arguments)
    other.start()
    with loading([plan]) as found:
        pass
    other.join()
    return found
