import pytest

from scoring.base.enums import Action, LinkState
from scoring.base.errors import InvalidInput, LedgerUnavailable
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.mechanism import places, refusals, worker
from service.mechanism.metrics import MechanismMetrics
from service.mechanism.recorder import Recorder
from service.mechanism.refusals import TooManyRefused, read_refused_sellers
from service.mechanism.worker import MechanismWorker
from service.policy.history import PolicyCommit, PolicyHistory
from service.policy.policy_file import parse_policy_text
from tests.helpers.builders import MARKET, SELLER, TODAY, Clock, confirmed, exposure, identity, link, status
from tests.helpers.limits import Limit
from tests.helpers.recordings import EXPIRING, Told, facts_of, history, recorded, watched


@pytest.fixture
def told(ledger: Ledger, clock: Clock) -> Told:
    made = Told(ledger, clock, parse_policy_text(EXPIRING))
    made.append(identity("i1"), exposure(TODAY - 60))
    made.worker.look()
    return made


def dated(told: Told) -> list[tuple[str, str, int]]:
    found = told.ledger.measures.read_seller_terms(MARKET, SELLER, told.ledger.cut()).statements
    return [(one.fact.rule, one.fact.state.name.lower(), one.occur_time) for one in found if one.fact.rule]


def test_changes_without_a_worker_are_dated_as_they_were(told: Told) -> None:
    told.append(confirmed("v1"), confirmed("v2"))
    told.worker.look()
    told.clock.now += 10 * DAY
    told.append(identity("i2"))
    told.another().look()
    changes = [one for one in dated(told) if one[1] != "imposed"]
    ended = [time for rule, state, time in changes if (rule, state) == ("week", "lifted")]
    assert ended == [told_end(told, "week")]
    expired = [time for rule, state, time in changes if (rule, state) == ("review", "lifted")]
    assert [time % DAY for time in expired] == [0]
    assert told.clock.now - 10 * DAY < expired[0] < told.clock.now
    times = [time for _, _, time in dated(told)]
    assert times == sorted(times)


def told_end(told: Told, rule: str) -> int | None:
    return next(fact.until for fact in told.statements() if fact.rule == rule and fact.until)


def test_a_pause_leaves_the_same_record(told: Told, tmp_path_factory: pytest.TempPathFactory) -> None:
    def live(place: Told, *, each_day: bool) -> list[MeasureChanged]:
        for day in range(12):
            place.clock.now += DAY
            if day % 5 == 0:
                place.append(confirmed(f"v{day}"))
            if day == 6:
                place.append(status("v5", Action.OVERTURN))
            if each_day:
                place.worker.look()
        place.another().look()
        return [*facts_of({"one": place.statements()})["one"]]

    clock = Clock()
    with Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('other')}/other.db", create=True, clock=clock) as other:
        watched = Told(other, clock, parse_policy_text(EXPIRING))
        watched.append(identity("i1"), exposure(TODAY - 60))
        watched.worker.look()
        each_day = live(watched, each_day=True)
        each_time = [time for _, _, time in dated(watched)]
    assert live(told, each_day=False) == each_day
    assert [time for _, _, time in dated(told)] == each_time
    assert len(each_day) > 4


def test_policies_of_the_meantime_are_recorded(told: Told) -> None:
    history_of = PolicyHistory(told.ledger)
    first = told.policy
    other = parse_policy_text(EXPIRING.replace("50_000", "70_000"))
    moved = []
    for text, before in ((other.text, first.digest), (first.text, other.digest)):
        told.clock.now += DAY // 2
        move = history_of.commit(PolicyCommit(text, before, "staff", "a trial"), first)
        moved.append(move.move_time)
    told.clock.now += DAY
    told.another().look()
    deposits = [(fact.amount_minor, fact.policy) for fact in told.statements() if fact.rule == "everybody"]
    assert deposits == [(50_000, first.digest), (70_000, other.digest), (50_000, first.digest)]
    assert [time for rule, _, time in dated(told) if rule == "everybody"][1:] == moved


def test_links_are_refreshed_each_day(told: Told) -> None:
    known = [link(f"k{n}", f"k{n}", f"other{n}") for n in range(30)]
    decided = [link(f"d{n}", f"k{n}", f"other{n}", state=LinkState.CONFIRMED) for n in range(30)]
    told.append(*known, *decided, link("l1", "bad", "iban"), link("l2", "late", "iban"), confirmed("c1", "bad"))

    def look(worker: MechanismWorker) -> int:
        worker.look()
        return len(told.ledger.measures.read_seller_terms(MARKET, "late", told.ledger.cut()).cases)

    assert look(told.worker) == 0
    told.clock.now += DAY
    assert [look(told.worker), look(told.worker), look(told.another())] == [1, 1, 1]


def test_a_first_commit_evaluates_each_seller_once(told: Told) -> None:
    other = parse_policy_text(EXPIRING.replace("50_000", "70_000"))
    wanted = PolicyCommit(other.text, told.policy.digest, "staff", "a trial")
    PolicyHistory(told.ledger).commit(wanted, told.policy)
    one, seen = watched(told)
    one.look()
    assert [number for number, _ in seen] == [1]
    assert [fact.policy for fact in told.statements() if fact.rule == "everybody"][1:] == [other.digest]


def test_a_policy_that_comes_back_is_recorded_again(told: Told) -> None:
    scorer = build_scorer(told.ledger, told.policy)
    one = MechanismWorker(told.ledger, Recorder(told.ledger, scorer))
    one.look()
    other = parse_policy_text(EXPIRING.replace("50_000", "70_000"))
    for served in (other, told.policy):
        scorer.policy.configured = scorer.policy.now = served
        one.look()
        one.look()
    assert [fact.amount_minor for fact in told.statements()] == [50_000, 70_000, 50_000]


def test_a_long_pause_is_made_up_for_from_a_month_on(told: Told, limit: Limit) -> None:
    limit(places, MAX_DAYS_LATE=3)
    text = EXPIRING.replace("50_000", "70_000")
    told.clock.now += DAY
    wanted = PolicyCommit(text, told.policy.digest, "staff", "a trial")
    PolicyHistory(told.ledger).commit(wanted, told.policy)
    told.clock.now += 20 * DAY
    told.another().look()
    times = [time for rule, state, time in dated(told) if (rule, state) == ("everybody", "updated")]
    assert times == [(told.clock.now // DAY - 2) * DAY]


class Refusing:
    def __init__(self, ledger: Ledger, seller: str) -> None:
        self.error: Exception | None = InvalidInput([])
        self.tries = 0
        append = ledger.append

        def refusing(marketplace: str, entries: list[Entry], **named: object) -> object:
            if self.error is not None and any(one.seller == seller for one in entries) and named.get("as_recorded"):
                self.tries += 1
                raise self.error
            return append(marketplace, entries, **named)  # type: ignore[arg-type]

        ledger.append = refusing  # type: ignore[assignment, method-assign]


@pytest.fixture
def no_wait(limit: Limit) -> None:
    limit(refusals, FIRST_RETRY_SECONDS=0.0)


def undisturbed(tmp_path_factory: pytest.TempPathFactory, seed: int) -> dict[str, object]:
    clock = Clock()
    with Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('plain')}/plain.db", create=True, clock=clock) as ledger:
        told = Told(ledger, clock)
        told.worker.look()
        history(told, 30, seed)
        told.worker.look()
        return dict(facts_of(recorded(told)))


@pytest.mark.long
@pytest.mark.usefixtures("no_wait")
def test_a_refused_seller_holds_up_no_other(
    ledger: Ledger, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wanted = undisturbed(tmp_path_factory, 3)
    told = Told(ledger, clock)
    told.worker.look()
    refusing = Refusing(ledger, "s1")
    reported: list[str] = []
    told.worker.report = reported.append
    history(told, 30, 3)
    told.worker.look()
    told.worker.look()
    found = facts_of(recorded(told))
    assert (found["s0"], found["s2"], found["s1"]) == (wanted["s0"], wanted["s2"], [])
    assert read_refused_sellers(ledger) == [(MARKET, "s1")]
    assert (len(told.worker.refusals), told.worker.refusals.count) == (1, 3) == (1, refusing.tries)
    shown = {one.name: one.samples[0].value for one in MechanismMetrics(told.worker).collect()}
    assert shown["sellertrust_mechanism_refused_sellers"] == 1
    assert shown["sellertrust_mechanism_refusals"] == 3
    assert len(reported) == 1
    assert "s1" not in reported[0]
    refusing.error = None
    told.worker.look()
    assert facts_of(recorded(told)) == wanted
    assert (read_refused_sellers(ledger), len(told.worker.refusals)) == ([], 0)


def test_a_refused_seller_is_tried_again_later_and_later(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    for module in (refusals, worker):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    told = Told(ledger, clock)
    told.append(identity("i1"))
    refusing = Refusing(ledger, SELLER)
    tried = []
    for _ in range(80):
        told.worker.look()
        tried.append(refusing.tries)
        now[0] += 1
    assert [tried.index(count) for count in range(1, 5)] == [0, 10, 30, 70]


def test_a_restart_tries_what_was_refused_before_at_once(ledger: Ledger, clock: Clock) -> None:
    told = Told(ledger, clock)
    told.append(identity("i1"))
    refusing = Refusing(ledger, SELLER)
    told.worker.look()
    refusing.error = None
    assert told.worker.look() == 0
    again = told.another()
    assert again.look() == 1
    assert (read_refused_sellers(ledger), len(again.refusals)) == ([], 0)


def test_a_database_that_is_away_refuses_no_seller(ledger: Ledger, clock: Clock) -> None:
    told = Told(ledger, clock)
    told.append(identity("i1"))
    Refusing(ledger, SELLER).error = LedgerUnavailable("away")
    with pytest.raises(LedgerUnavailable):
        told.worker.look()
    assert (len(told.worker.refusals), read_refused_sellers(ledger)) == (0, [])


def test_what_is_wrong_with_every_seller_ends_a_look(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch, limit: Limit
) -> None:
    limit(refusals, MAX_REFUSED=2)
    told = Told(ledger, clock)
    told.append(*(identity(f"i{n}", f"s{n}") for n in range(4)))
    monkeypatch.setattr(told.worker.recorder, "record", fail)
    with pytest.raises(TooManyRefused, match="more than 2 sellers"):
        told.worker.look()


def fail(*_: object) -> None:
    raise RuntimeError("wrong")
