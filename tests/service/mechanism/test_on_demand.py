from pathlib import Path

import pytest

from scoring.base.enums import Action
from scoring.base.time import DAY
from scoring.entries.kinds.decisions import MeasureChanged
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder
from service.policy.history import PolicyCommit, PolicyHistory
from service.policy.policy_file import parse_policy_text
from tests.helpers.builders import MARKET, SELLER, TODAY, Clock, confirmed, exposure, identity, status
from tests.helpers.recordings import EXPIRING, RULES, Told, facts_of
from tests.helpers.servers import Running, running_server
from tests.helpers.servers import identity as identity_message
from tests.helpers.servers import violation as violation_message


def contest(client: Client, measure: str, seller: str = "s1") -> None:
    entry = entry_pb2.Entry(entry_id=f"c-{measure[-9:]}", seller=f"marketplaces/{MARKET}/sellers/{seller}")
    entry.complaint.measure, entry.complaint.reason = measure, "not ours"
    client.append_entries(MARKET, [entry])


def worker_of(running: Running) -> Told:
    told = Told(running.ledger, Clock(), running.scorer.policy.now)
    told.worker.recorder = Recorder(running.ledger, running.scorer)
    return told


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(RULES)
    return path


def test_what_is_shown_can_be_contested_and_given_back(tmp_path: Path, policy: Path) -> None:
    with running_server(tmp_path, policy=policy) as running, running.client() as client:
        client.append_entries(MARKET, [identity_message("i1", "s1")])
        told = worker_of(running)
        told.worker.look()
        client.append_entries(MARKET, [violation_message("v1", "s1")])
        client.confirm_violation(MARKET, "v1", actor="a-1", reason="so")
        shown = client.evaluate_measures(MARKET, "s1").measures
        assert [one.rule for one in shown] == ["everybody", "review"]
        for one in shown:
            contest(client, one.measure)
        stated = told.statements("s1")
        assert [(one.rule, one.state.name) for one in stated] == [("everybody", "IMPOSED"), ("review", "IMPOSED")]
        entries = running.ledger.entries.list(MARKET, running.ledger.cut())
        assert {one.principal for one in entries if isinstance(one.entry.fact, MeasureChanged)} == {""}
        client.overturn_violation(MARKET, "v1", actor="a-1", reason="not so")
        [item] = client.get_restitution(MARKET, "s1", "v1").items
        assert (item.rule, item.HasField("end_time")) == ("review", True)
        assert told.worker.look() == 0


def test_a_record_on_demand_is_the_one_that_the_worker_makes(
    ledger: Ledger, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def live(told: Told, *, on_demand: bool) -> list[tuple[str, str, int]]:
        told.append(identity("i1"), exposure(TODAY - 60), identity("i2", "other"))
        told.worker.look()
        first, texts = told.policy, [EXPIRING.replace("50_000", "70_000"), EXPIRING]
        for day in range(8):
            told.clock.now += DAY
            if day < 2:
                told.append(confirmed(f"v{day}"))
            elif day < 4:
                before = parse_policy_text(texts[3 - day]).digest
                PolicyHistory(told.ledger).commit(PolicyCommit(texts[day - 2], before, "a", "so"), first)
        told.append(status("v0", Action.OVERTURN))
        if on_demand:
            Recorder(told.ledger, build_scorer(told.ledger, told.policy)).record_pending(MARKET, SELLER)
            assert told.statements("other")[1:] == []
        else:
            told.another().look()
        found = told.ledger.measures.read_seller_terms(MARKET, SELLER, told.ledger.cut()).statements
        dated = [(one.fact.rule, one.fact.state.name, one.occur_time) for one in found]
        after = told.another()
        assert (after.look() > 0) == on_demand
        assert len(told.statements()) == len(dated)
        assert facts_of({"o": told.statements("other")})["o"][1:] != []
        return dated

    by = parse_policy_text(EXPIRING)
    plain = f"sqlite:///{tmp_path_factory.mktemp('plain')}/plain.db"
    other = Clock()
    with Ledger.open(plain, create=True, clock=other) as watched:
        wanted = live(Told(watched, other, by), on_demand=False)
    assert live(Told(ledger, clock, by), on_demand=True) == wanted
    assert len(wanted) > 6
