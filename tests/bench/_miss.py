"""A score that is not remembered, in process: cut, rows, fold, model, answer and message, by the length of the file."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

from scoring.entries.entry import Entry
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from service.bootstrap import build_scorer
from service.contract.scores import score_message, stamp_message
from service.ledger.store import Ledger
from service.scores.scorer import Scorer
from tests.bench.reads import ordinary, ratings
from tests.helpers.builders import MARKET, TODAY, ago, exposure, status, violation
from tests.helpers.servers import Shelf

PART = 5_000
ROUNDS, IN_A_ROW = 200, 10
RATINGS = 20_000


def miss_figures(ledger: Ledger, artifact: Artifact, policy: Policy) -> dict[str, float]:
    files = {
        "50": file_of("m-50", 50),
        "2000": file_of("m-2000", 2_000),
        f"{RATINGS}_ratings": [*file_of("m-ratings", 50), *ratings("m-ratings", RATINGS)],
    }
    for entries in files.values():
        for begin in range(0, len(entries), PART):
            ledger.append(MARKET, entries[begin : begin + PART], imported=True)
    scorer = build_scorer(ledger, policy, Shelf(artifact))
    calls = {key: partial(_answer, scorer, ledger, entries[0].seller) for key, entries in files.items()}
    found = _in_turn(calls).items()
    return {f"miss_ms.{key}": round(statistics.median(values) * 1000, 3) for key, values in found}


def file_of(seller: str, entries: int) -> list[Entry]:
    about = entries // 10
    found: list[Entry] = ordinary(seller, entries - about - 4)
    for k in range(about // 2):
        name = f"w-{seller}-{k}"
        found.append(violation(name, seller, incident=f"w-{k // 2}", occur_time=ago(3 + 7 * k % 600)))
        found.append(status(name, seller=seller, occur_time=ago(2 + 7 * k % 600)))
    return found + [exposure(TODAY - 1, seller, product_category="toys")] * (about % 2)


def _answer(scorer: Scorer, ledger: Ledger, seller: str) -> bytes:
    [answer], stamp = scorer.scores(MARKET, [seller], ledger.cut())
    if isinstance(answer, Exception):
        raise answer
    return bytes(score_message(seller, answer, stamp_message(stamp)).SerializeToString())


def _in_turn(calls: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {key: [] for key in calls}
    for number in range(ROUNDS // IN_A_ROW + 1):
        for key, call in calls.items():
            for _ in range(IN_A_ROW):
                started = time.perf_counter()
                call()
                if number:
                    found[key].append(time.perf_counter() - started)
    return found
