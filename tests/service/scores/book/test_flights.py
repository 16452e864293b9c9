import threading

from service.call_context import Call, begin_answering, end_answering
from service.ledger.store import Ledger
from service.scores.book import flights
from tests.helpers.books import known, opened
from tests.helpers.builders import MARKET
from tests.helpers.limits import Limit
from tests.service.scores.book.test_book import blocked, in_threads


def test_a_caller_waits_no_longer_than_its_deadline(ledger: Ledger, limit: Limit) -> None:
    limit(flights, WAIT_SECONDS=600)
    ledger.append(MARKET, known("a"))
    with opened(ledger) as over:
        begun, go = blocked(over)

        def ask_in_time() -> None:
            token = begin_answering(Call(lambda: 0.05))
            try:
                over.ask("a")
            finally:
                end_answering(token)

        threads = in_threads(1, lambda: over.ask("a"))
        assert begun.acquire(timeout=30)
        threads += in_threads(1, ask_in_time)
        assert begun.acquire(timeout=30)
        go.set()
        for thread in threads:
            thread.join(60)
        assert not any(map(threading.Thread.is_alive, threads))
