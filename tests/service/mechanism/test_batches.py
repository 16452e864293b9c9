import pytest

from scoring.base.enums import Action, Harm, Source
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from service.ledger.store import Ledger
from service.mechanism import recorder, worker
from service.mechanism.metrics import MechanismMetrics
from tests.helpers.builders import MARKET, Clock, ago, exposure, identity, status
from tests.helpers.limits import Limit
from tests.helpers.recordings import Killed, Told, killed_after, watched

SELLERS, BATCH = 50, 8


@pytest.fixture
def told(ledger: Ledger, clock: Clock, limit: Limit) -> Told:
    limit(worker, BATCH=BATCH)
    made = Told(ledger, clock)
    ledger.append(MARKET, [identity(f"i{n}", f"s{n:02}") for n in range(SELLERS)])
    ledger.append(MARKET, [Entry(f"l{n}", f"s{n:02}", ProductListed("lamp"), ago(30)) for n in range(SELLERS)])
    made.worker.look()
    return made


def recall(told: Told) -> None:
    fact = ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, "lamp")
    told.append(Entry("recall", "", fact, ago(20)), status("recall", Action.CONFIRM))


def recorded(told: Told) -> list[list[tuple[str, str]]]:
    return [told.record(f"s{n:02}") for n in range(SELLERS)]


def test_a_recall_is_evaluated_and_stated_in_batches(told: Told, limit: Limit) -> None:
    recall(told)
    one, seen = watched(told)
    limit(recorder, MAX_BATCH=3)
    assert one.look() == SELLERS
    assert max(number for number, _ in seen) == BATCH
    assert [sum(n for n, at in seen if at == sequence) for sequence in sorted({at for _, at in seen})] == [SELLERS] * 2
    assert recorded(told) == [[("everybody", "imposed"), ("review", "imposed")]] * SELLERS


def test_a_restart_goes_on_inside_one_append(told: Told) -> None:
    recall(told)
    evaluated = 0
    for _ in range(3):
        one, seen = watched(told)
        with pytest.raises(Killed), killed_after(told.ledger, 2):
            one.look()
        evaluated += sum(number for number, _ in seen)
    last, seen = watched(told)
    last.look()
    evaluated += sum(number for number, _ in seen)
    assert recorded(told) == [[("everybody", "imposed"), ("review", "imposed")]] * SELLERS
    assert evaluated <= 2 * SELLERS + 3 * BATCH


def test_orders_before_a_recall_survive_a_restart(told: Told) -> None:
    told.append(exposure(ago(40) // DAY, "late"))
    recall(told)
    with pytest.raises(Killed), killed_after(told.ledger, 3):
        told.another().look()
    told.another().look()
    assert told.record("late") == [("everybody", "imposed")]


def test_a_restart_goes_on_inside_one_midnight(told: Told) -> None:
    told.clock.now += DAY
    one, seen = watched(told, 3)
    with pytest.raises(Killed):
        one.look()
    done = sum(number for number, _ in seen)
    assert 0 < done < SELLERS
    last, seen = watched(told)
    last.look()
    assert sum(number for number, _ in seen) == SELLERS - done


def test_the_metrics_say_how_far_behind_the_record_is(told: Told) -> None:
    recall(told)
    told.clock.now += 60_000_000
    one, _ = watched(told, 9)

    def shown() -> tuple[float, float]:
        found = {metric.name: metric.samples[0].value for metric in MechanismMetrics(one).collect()}
        return found["sellertrust_mechanism_behind_seconds"], found["sellertrust_mechanism_behind_entries"]

    with pytest.raises(Killed):
        one.look()
    seconds, entries = shown()
    assert (round(seconds), 0 < entries < 2 * SELLERS) == (60, True)
    one.look()
    one.look()
    assert shown() == (0, 0)
