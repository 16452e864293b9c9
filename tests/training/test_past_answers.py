import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from scoring.base.enums import Action, ControlReason, CorrectionKind, IncidentChange, Severity, Tier
from scoring.base.time import DAY, parse_day
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import ControlChanged
from scoring.entries.kinds.conduct import IncidentChanged
from scoring.entries.kinds.decisions import EntryCorrected, OverrideImposed
from scoring.entries.kinds.table import Fact
from scoring.model.artifact import Artifact, load
from scoring.policy.reading import parse_policy
from sellertrust.v1.trust_score_service_pb2 import TrustScore
from service.ledger.records import RecordedEntry
from service.ledger.store import Ledger
from tests.helpers.builders import Clock, confirmed, exposure, identity, status
from tests.helpers.limits import Limit
from tests.helpers.policies import GRADED, TIERS
from tests.helpers.servers import running_server
from tests.helpers.training_ledgers import STUDIES, exported, market_ledger, restated
from tests.helpers.worlds import policy
from training.monitoring import past_answers
from training.monitoring.past_answers import ABSENT, PastAnswers, find_past_answers
from training.observation.export import LedgerTable
from training.pipeline.job import Job
from training.pipeline.run import run
from training.study.loading import load_study

DEMO = "demo"
DAYS = [parse_day(day) for day in ("2024-02-01", "2024-09-15", "2025-03-31", "2025-12-20")]


class Market(NamedTuple):
    folder: Path
    imported: LedgerTable
    lived: LedgerTable


pytestmark = pytest.mark.timeout(800)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder = tmp_path_factory.mktemp("market")
    (folder / "lived").mkdir()
    with market_ledger(folder, 700) as imported:
        for entry in decided_by_people():
            imported.append(DEMO, [entry], imported=True)
        live_through(imported, folder / "lived")
        with Ledger.open(f"sqlite:///{folder / 'lived'}/ledger.db") as lived:
            return Market(folder, exported(imported, DEMO, folder), exported(lived, DEMO, folder / "lived"))


def decided_by_people() -> list[Entry]:
    begin = parse_day("2024-03-01")
    sellers = ("sold", "merged", "misdated", "held", "lifted", "reduced")

    def at(day: int) -> int:
        return (begin + day) * DAY + 5

    def decision(name: str, seller: str, fact: Fact, day: int) -> Entry:
        own_time = isinstance(fact, EntryCorrected)
        return Entry(name, seller, fact, None if own_time else at(day), at(day))

    entries = []
    for seller in sellers:
        entries.append(identity(f"i-{seller}", seller, occur_time=at(0), report_time=at(0)))
        sold = [exposure(begin + k, seller, settled_orders=60, report_time=at(k + 1)) for k in range(0, 600, 20)]
        breaches = [confirmed(f"v{k}-{seller}", seller, occur_time=at(40 + k)) for k in (0, 30)]
        entries += [*sold, *(replace(breach, report_time=breach.occur_time) for breach in breaches)]
    merged = IncidentChanged(IncidentChange.MERGED, "v0-merged", "staff", "one event", incident="v30-merged")
    moved = EntryCorrected("v30-misdated", CorrectionKind.MOVED, "staff", "another year", at(1))
    held = OverrideImposed(Tier.STANDARD, at(300), "staff", "until it is cleared up")
    return [
        *entries,
        decision("d-sold", "sold", ControlChanged(ControlReason.SOLD, "staff", "a new owner"), 350),
        decision("d-merged", "merged", merged, 390),
        decision("d-misdated", "", moved, 390),
        decision("d-held", "held", held, 190),
        status("v0-lifted", Action.OVERTURN, occur_time=at(390), report_time=at(390)),
        status("v0-reduced", Action.REDUCE, severity=Severity.MINOR, occur_time=at(200), report_time=at(200)),
    ]


def live_through(imported: Ledger, folder: Path) -> None:
    recorded: list[RecordedEntry] = []
    while page := imported.entries.list(
        DEMO, imported.cut(), after_sequence=recorded[-1].sequence if recorded else 0, limit=5000
    ):
        recorded += page
    recorded.sort(key=lambda entry: entry.report_time)
    clock = Clock()
    with Ledger.open(f"sqlite:///{folder}/ledger.db", create=True, clock=clock) as lived:
        for clock.now, group in groupby(recorded, key=lambda entry: entry.report_time):
            batch = [replace(r.entry, report_time=None, origin="") for r in group if not r.entry.origin]
            for some in batched(batch, 5000):
                lived.append(DEMO, some)


def batched(entries: list[Entry], size: int) -> list[list[Entry]]:
    return [entries[first : first + size] for first in range(0, len(entries), size)]


@pytest.fixture(scope="module")
def model(market: Market) -> Artifact:
    study = restated(load_study(STUDIES / "marketplace.toml"), model={"rounds": 40})
    return load(run(Job(market.imported, study, policy(), verify=False)).parts)


def served(folder: Path, artifact: Artifact, sellers: list[str], day: int, **settings: Path) -> PastAnswers:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    points, tier = [], []
    with (
        running_server(folder, artifact=artifact, **({"policy": TIERS} | settings)) as running,
        running.client(deadline_seconds=120) as client,
    ):
        for first in range(0, len(sellers), 200):
            some = sellers[first : first + 200]
            for result in client.batch_get_trust_scores(DEMO, some, observe_time=moment, known_time=moment):
                score: TrustScore = result.trust_score
                missing = result.HasField("error")
                points.append(score.points if not missing and score.HasField("points") else -1)
                tier.append(ABSENT if missing else int(score.tier))
    return PastAnswers(np.array(points), np.array(tier), np.zeros(0))


@pytest.mark.long
@pytest.mark.parametrize("day", DAYS)
def test_the_answers_of_a_past_day_are_the_servers(market: Market, model: Artifact, day: int) -> None:
    asked = served(market.folder / "lived", model, market.lived.sellers, day)
    for table in (market.lived, market.imported):
        given = find_past_answers(table, model, policy(), day)
        np.testing.assert_array_equal(given.points, asked.points)
        np.testing.assert_array_equal(given.tier, asked.tier)


@pytest.mark.long
@pytest.mark.parametrize(
    "types", ["", "[standing.types]\ncounterfeit_goods = { minor = 0, moderate = 0, major = 0, critical = 1 }\n\n"]
)
def test_a_standing_bounds_them_as_it_bounds_a_server(
    market: Market, model: Artifact, types: str, tmp_path: Path
) -> None:
    path, day = tmp_path / "general.toml", DAYS[1]
    text = GRADED.read_text(encoding="utf-8")
    path.write_text(text.replace("[standing.at_most]", types + "[standing.at_most]"))
    general = parse_policy(tomllib.loads(path.read_text(encoding="utf-8")))
    asked = served(market.folder / "lived", model, market.lived.sellers, day, policy=path)
    given = find_past_answers(market.lived, model, general, day)
    np.testing.assert_array_equal(given.tier, asked.tier)
    assert int((given.tier != find_past_answers(market.lived, model, policy(), day).tier).sum()) >= 5


@pytest.mark.long
def test_the_comparison_with_the_server_meets_every_state(market: Market, model: Artifact) -> None:
    """All tiers but the best, and the absent; otherwise agreement would prove little."""
    seen = [find_past_answers(market.lived, model, policy(), day) for day in DAYS]
    assert set(np.concatenate([a.tier for a in seen]).tolist()) >= {ABSENT, *Tier} - {Tier.EXEMPLARY}
    held = market.lived.sellers.index("held")
    assert [a.tier[held] == Tier.STANDARD for a in seen][:2] == [False, True]


@pytest.mark.long
@pytest.mark.parametrize("most", [1, 777])
def test_parts_of_any_size_give_the_same_answers(market: Market, model: Artifact, most: int, limit: Limit) -> None:
    some = market.lived if most > 1 else first_sellers(market.lived, 30)
    whole = find_past_answers(some, model, policy(), DAYS[2])
    limit(past_answers, MAX_ENTRIES=most)
    parts = find_past_answers(some, model, policy(), DAYS[2])
    for name in ("points", "tier", "raw"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def first_sellers(table: LedgerTable, count: int) -> LedgerTable:
    mine = table.columns.take(table.columns.case < count)
    return replace(table, sellers=table.sellers[:count], columns=mine.of_cases(mine.case, count))
