"""Moves of models and policies: whether each notice keeps its promise, and each old answer can be given again."""

import io
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from scoring.features.columns import FactRow, tabulate
from scoring.features.resolved import resolve_sellers
from scoring.measures.in_force import evaluate_measures
from scoring.model.artifact import Artifact
from scoring.policy.measures import Terms
from scoring.policy.policy import Policy
from scoring.scores.notice import ServedPair, answer_within_notice
from scoring.scores.score import compute_answer
from sellertrust.client import Client
from sellertrust.v1 import answer_service_pb2 as answer_pb
from service.api.server import Server
from service.api.telemetry.logs import make_log
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.helpers.models import evaluated, promote, publish
from tests.helpers.policies import TIERS, policy_of, rule, shipped
from tests.helpers.servers import MARKET, exposure, identity, settings_of, violation
from tests.helpers.worlds import ALL_FEATURES, DAY, NOW, TODAY, artifact, certified, population

SAID: dict[str, Any] = {"actor": "staff", "reason": "better"}
MOVED, UNTIL = NOW - 3 * DAY, (TODAY + 13) * DAY
MONEY = ("deposit_minor", "hold_days", "reserve_ppm", "reserve_days", "delivery_hold_days", "ahead_days", "value_caps")


@cache
def list_moves() -> list[tuple[tuple[Artifact, Policy], tuple[Artifact, Policy]]]:
    """Return two promotions and two commits, each as what was served before and after."""
    capped, held = {"kind": "listing_cap", "listings": 500}, {"kind": "settlement_hold", "days": 3}
    lax = policy_of(rule("listed", capped), rule("held", held), notice_days=15)
    later, last = (
        policy_of(
            rule("listed", capped | {"listings": listings}, {"kind": "manual_review"}),
            rule("held", held | {"days": days}),
            cut_offs={"standard": cut, "trusted": cut + 60, "exemplary": cut + 200},
            notice_days=15,
        )
        for listings, days, cut in ((200, 9, 500), (50, 30, 700))
    )
    first, second = artifact(), certified(*population(), ALL_FEATURES, 12)
    served = [(first, lax), (second, lax), (second, later), (first, later), (first, last)]
    return list(pairwise(served))


def count_notices(rows: Sequence[FactRow], found: Counter[str]) -> None:
    """Add, for each move, whether one seller keeps its tier, and whether its money is laxer than the new rules ask."""
    known = resolve_sellers(["s"], tabulate(rows, ["s"]), NOW)
    for before, after in list_moves():
        own = compute_answer(known, *after, looks_back=True)
        given = answer_within_notice(own, [ServedPair(*before, MOVED, UNTIL)], looks_back=True)
        [earlier] = given.earlier
        [kept], [in_force], [strict] = earlier.core.scores, *(evaluate_measures(one, "m", {}) for one in (given, own))
        if kept is None or in_force is None or strict is None:
            raise AssertionError("each seller exists")
        if earlier.counts[0]:
            found["notice.tried"] += 1
            found["notice.broken"] += (in_force.score.tier or 0) < (kept.tier or 0)
        is_strict = _money_of(in_force.terms) == _money_of(in_force.terms.stricter_of(strict.terms))
        found["notice.money_laxer"] += not is_strict or in_force.score.badge != strict.score.badge


def _money_of(terms: Terms) -> list[Any]:
    return [getattr(terms, name) for name in MONEY]


def count_replays(answers: int) -> dict[str, float]:
    """Replay old scores and measures after two models, two policies, more entries and another core."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        settings, registry = settings_of(data_dir=folder), Registry(Path(folder) / "registry")
        first, second = (publish(registry, parts=evaluated(number, 0.7)) for number in (0, 1))
        promote(registry, first)
        with Ledger.open(settings.database_url, create=True) as ledger:
            scorer = build_scorer(ledger, shipped("general"), registry)
            with (
                Server(settings, ledger, scorer, log=make_log("json", "error", io.StringIO())) as server,
                Client(server.address, deadline_seconds=60) as client,
            ):
                _replay_all(client, answers, (first, second), found)
    names = ("replay.tried", "replay.differ_unsaid", "replay.same", "replay.core_named")
    return {name: float(found[name]) for name in names}


def _replay_all(client: Client, answers: int, models: Sequence[str], found: Counter[str]) -> None:
    sellers = [f"s{number}" for number in range(max(answers // 6, 1))]
    rng = np.random.default_rng(0)
    for seller in sellers:
        entries = [identity(f"i-{seller}", seller), exposure(f"x-{seller}", seller, int(rng.integers(20, 5_000)))]
        entries += [violation(f"v{n}-{seller}", seller) for n in range(int(rng.integers(0, 4)))]
        client.append_entries(MARKET, entries)
    client.promote_model(models[0], **SAID)
    serving = shipped("general").digest
    given: list[tuple[str, Any]] = []
    for stage in range(3):
        for seller in sellers:
            given += [(seller, client.get_trust_score(MARKET, seller).message)]
            given += [(seller, client.evaluate_measures(MARKET, seller))]
        if stage == 0:
            client.promote_model(models[1], **SAID)
            client.append_entries(MARKET, [violation(f"w-{seller}", seller) for seller in sellers[::2]])
        else:
            text = TIERS.with_name(("general.toml", "health.toml")[stage % 2]).read_text()
            serving = client.commit_policy(text, expected=serving, **SAID).serving_digest
    for number, (seller, old) in enumerate(given):
        has_other_core = number % 7 == 0
        if has_other_core:
            old.stamp.core_version = "0.0.1"
        replayed = client.replay_trust_score(MARKET, seller, old)
        now = replayed.trust_score if old.DESCRIPTOR.name == "TrustScore" else replayed.measures
        found["replay.tried"] += 1
        is_same = _facts_of(now) == _facts_of(old)
        found["replay.same"] += is_same
        found["replay.differ_unsaid"] += not is_same and replayed.state == answer_pb.REPLAY_STATE_SAME
        found["replay.core_named"] += has_other_core and answer_pb.INGREDIENT_CORE in {
            step.ingredient for step in replayed.steps
        }


def _facts_of(message: Any) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    for field in {"stamp", "freshness"}.intersection(copy.DESCRIPTOR.fields_by_name):
        copy.ClearField(field)
    return bytes(copy.SerializeToString(deterministic=True))
