import threading
from collections.abc import Iterator

import pytest

from scoring.base.errors import LedgerUnavailable
from service.ledger.clock import tail
from service.ledger.clock.tail import Tail
from tests.helpers.limits import Limit


class Database:
    def __init__(self) -> None:
        self.last = 7
        self.asked = 0
        self.is_there = threading.Event()
        self.is_there.set()

    def ask(self) -> int:
        self.asked += 1
        assert self.is_there.wait(60)
        return self.last


@pytest.fixture
def database() -> Iterator[Database]:
    made = Database()
    yield made
    made.is_there.set()


def test_a_read_is_refused_while_the_end_is_unknown(
    database: Database,
) -> None:
    end = Tail(database.ask, 1)
    end.reach(7)
    database.is_there.clear()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            end.reach(8)
    assert database.asked == 2
    database.last = 8
    database.is_there.set()
    end.reach(8)
    end.close(30)


def test_a_seen_sequence_lasts_as_long_as_the_database(database: Database, limit: Limit) -> None:
    end = Tail(database.ask, 1)
    limit(tail, ANSWERED_SECONDS=60)
    end.note_sequence(7)
    database.is_there.clear()
    end.reach(7)
    assert database.asked == 0
    limit(tail, ANSWERED_SECONDS=0)
    with pytest.raises(LedgerUnavailable):
        end.reach(7)
    end.reach(0)
    database.is_there.set()
    end.close(30)


def test_a_database_that_always_takes_long_is_waited_for(database: Database, limit: Limit) -> None:
    limit(tail, SMOOTHING=1, USUAL_TIMES=1_000)
    end = Tail(database.ask, 1)
    end.reach(7)
    limit(tail, ANSWERED_SECONDS=0)
    end._usual_seconds = 0.3
    database.is_there.clear()
    timer = threading.Timer(0.3, database.is_there.set)
    timer.start()
    end.reach(7)
    end.close(30)
