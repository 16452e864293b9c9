"""Gates: the shares of good models rejected and of broken models passed, and false alarms on cut real data.

`simulated`: worlds of N bad test rows (tests/helpers/gate_worlds.py, which has the broken kinds), nothing fitted.
`refused`: by a hard gate; `signed`: a person must sign; `.high`: upper bound, 95 %. `gates.power.KIND.FACTOR.N`: refused
or signed at smaller faults.

`real`: worlds cut from Toronto and Chicago by sellers, leak and data checks of honest trainings: `false_alarm.CHECKS`.

Twenty minutes on two idle cores; worlds begin at a seed that no choice looked at.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy.special import betaincinv

from tests.bench._real_data import chicago, imported, toronto
from tests.helpers.gate_worlds import BROKEN, judged
from tests.helpers.training_ledgers import STUDIES
from training.checks.data import run_data_checks
from training.checks.leakage import cut_before, run_leakage_checks
from training.observation.labels import final_facts
from training.observation.points import choose_points
from training.observation.snapshots import join_snapshots, observe
from training.study.definition import Study
from training.study.loading import load_study

Say = Callable[[str], None]
PARTS = ("simulated", "real")
BAD_ROWS, BROKEN_ROWS = (50, 100, 200, 400), (100, 400)
GOOD, EACH_BROKEN, EACH_POWER = 800, 300, 60
FIRST_SEED = 7_000_000
POWER = dict.fromkeys(("shifted", "miscalibrated"), (1.25, 1.5))
WORLDS = 25
"""Worlds of each study of real data, each of half of its sellers."""


def run(say: Say, only: str = "") -> dict[str, float]:
    figures: dict[str, float] = {}
    if only in ("", "simulated"):
        figures |= _simulate(say)
    if only in ("", "real"):
        figures |= _cut(say)
    return figures


def _simulate(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {"gates.good": GOOD, "gates.broken": EACH_BROKEN}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:

        def count(kind: str, bad_rows: int, number: int, factor: float = 2.0) -> list[tuple[str, list[str]]]:
            return [verdict(found) for found in pool.map(_judged, _asked(kind, bad_rows, number, factor), chunksize=5)]

        for bad_rows in BAD_ROWS:
            good = count("good", bad_rows, GOOD)
            said, by_gate = Counter(word for word, _ in good), Counter(gate for _, gates in good for gate in gates)
            row = {f"good_{word}": share for word in ("refused", "signed") for share in [said[word] / GOOD]}
            row |= {"good_refused.high": _bound(said["refused"], GOOD)}
            row |= {f"asked_by.{gate}": found / GOOD for gate, found in sorted(by_gate.items())}
            for kind in BROKEN if bad_rows in BROKEN_ROWS else ():
                found = Counter(word for word, _ in count(kind, bad_rows, EACH_BROKEN))
                row[f"broken_passed.{kind}"] = found["passed"] / EACH_BROKEN
                row[f"broken_passed.{kind}.high"] = _bound(found["passed"], EACH_BROKEN)
                row[f"broken_signed.{kind}"] = found["signed"] / EACH_BROKEN
                for factor in POWER.get(kind, ()):
                    told = Counter(word for word, _ in count(kind, bad_rows, EACH_POWER, factor))
                    row[f"power.{kind}.{factor}"] = 1 - told["passed"] / EACH_POWER
            figures |= {f"gates.{name}.{bad_rows}": round(share, 4) for name, share in row.items()}
            say(f"{bad_rows:4} bad rows: {', '.join(f'{name} {share:.1%}' for name, share in row.items())}")
    return figures


def _bound(found: int, of: int) -> float:
    return 1.0 if found == of else float(betaincinv(found + 1, of - found, 0.95))


def verdict(found: dict[str, Any]) -> tuple[str, list[str]]:
    asking = [row["gate"] for row in found["gates"] if not row["ok"]]
    word = "refused" if not found["passed"] else "signed" if asking else "passed"
    return word, asking


def _asked(kind: str, bad_rows: int, number: int, factor: float) -> Iterable[tuple[str, int, int, float]]:
    return [(kind, bad_rows, FIRST_SEED + seed, factor) for seed in range(number)]


def _judged(asked: tuple[str, int, int, float]) -> dict[str, Any]:
    return judged(*asked)


def _cut(say: Say) -> dict[str, float]:
    alarms: Counter[str] = Counter()
    worlds = 0
    for city, data in (("toronto", toronto()), ("chicago", chicago())):
        if data is None:
            say(f"{city} skipped: its folder in ../shared/data is absent")
            continue
        study = load_study(STUDIES / f"{city}{'_a' if city == 'toronto' else '_no_context'}.toml")
        with imported(STUDIES / f"{city}.mapping.toml", data, say) as (_, table):
            for found in _check_worlds(table, study):
                worlds += 1
                alarms.update(found)
                say(f"{city} {worlds}: {', '.join(sorted(found)) or 'no alarm'}")
    figures: dict[str, float] = {"worlds": worlds}
    for name in sorted({"leak", "data", *alarms}) if worlds else ():
        figures[f"false_alarm.{name}"] = round(alarms[name] / worlds, 4)
        figures[f"false_alarm.{name}.high"] = round(_bound(alarms[name], worlds), 4)
    return figures


def _check_worlds(table: Any, study: Study) -> Iterator[set[str]]:
    rng = np.random.default_rng(FIRST_SEED)
    everyone = table.columns.cases
    for _ in range(WORLDS):
        sellers = np.sort(rng.permutation(everyone)[: everyone // 2])
        world = cut_before(table, sellers, table.end_day)
        final, points = final_facts(world), choose_points(world, study)
        seen = [observe(world, study, point, final) for point in (*points.train, *points.test)]
        every = [each.rows.with_known_outcome() for each in seen]
        split = len(points.train)
        leaks = run_leakage_checks(world, study, join_snapshots(every[:split]), join_snapshots(every[split:]))
        data = run_data_checks(world, study, every, [each.exclusions for each in seen], final)
        kinds = {"leak": leaks, "data": data}
        yield {
            name for kind, checks in kinds.items() for c in checks if not c.ok for name in (kind, f"{kind}.{c.check}")
        }
