"""Gates: the shares of good models rejected and of broken models passed, false alarms, and caught leaks.

`simulated`: worlds of N bad test rows (tests/helpers/gate_worlds.py), nothing fitted. `signed`: a person must sign;
`.high`: upper bound, 95 %. `gates.power.KIND.FACTOR.N`: refused or signed at smaller faults.

`markets`, `real`: honest trainings, with `false_alarm.CHECKS`; leaks (tests/helpers/leaks.py); shipped studies.

Forty minutes on two idle cores; worlds begin at a seed that no choice looked at.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.special import betaincinv

from scoring.base.arrays import Ints
from service.cli.demo import SELLERS
from service.cli.demo_market import write_files
from service.cli.train import make_job
from service.settings import load as load_settings
from tests.bench._real_data import chicago, imported, toronto
from tests.helpers.gate_worlds import BROKEN, MARKETS, judged, simulate_like
from tests.helpers.leaks import LEAKS, plant
from tests.helpers.training_ledgers import STUDIES, train
from training.checks.data import check_report_before_occur
from training.checks.leakage import cut_before, run_leakage_checks
from training.market.files import write_market
from training.observation.export import LedgerTable
from training.observation.points import choose_points
from training.observation.snapshots import join_snapshots, observe_known_outcomes
from training.pipeline.job import TrainedModel
from training.pipeline.judging import spell_verdict
from training.pipeline.run import run as run_training
from training.pipeline.steps import show_nothing
from training.study.definition import Study
from training.study.loading import load_study

Say = Callable[[str], None]
PARTS = ("simulated", "markets", "real")
BAD_ROWS, BROKEN_ROWS = (50, 100, 200, 400), (100, 400)
GOOD, EACH_BROKEN, EACH_POWER = 800, 300, 60
FIRST_SEED = 7_000_000
POWER = dict.fromkeys(("shifted", "miscalibrated"), (1.25, 1.5))
MARKET_WORLDS, CITY_WORLDS = 3, 25
UNMEASURED = {"parity", "reproducible"}
CITIES = {
    "toronto": (toronto, ("toronto_a", "toronto_b")),
    "chicago": (chicago, ("chicago_no_context", "chicago")),
}


def run(say: Say, only: str = "") -> dict[str, float]:
    figures: dict[str, float] = {}
    if only in ("", "simulated"):
        figures |= _simulate(say)
    tally = Tally(say)
    if only in ("", "markets"):
        _try_markets(tally)
    if only in ("", "real"):
        _try_cities(tally)
    return figures | tally.figures | tally.rates()


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


@dataclass
class Tally:
    say: Say
    alarms: Counter[str] = field(default_factory=Counter)
    worlds: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    def count_world(self, kind: str, trained: TrainedModel) -> None:
        checks, gates = trained.evaluation["checks"], {row["gate"]: row for row in trained.gates["gates"]}
        found = {
            f"{name}.{check['check']}"
            for name, rows in (("leak", checks["leakage"]), ("data", checks["data"]))
            for check in _find_failed(rows)
        }
        hard = {name for name, row in gates.items() if row["kind"] == "hard" and not row["ok"]} - UNMEASURED
        found |= {f"hard.{name}" for name in hard} | ({"psi"} if not gates["psi"]["ok"] else set())
        self.worlds += 1
        self.alarms.update({name.partition(".")[0] for name in found})
        self.say(f"{kind} {self.worlds}: {', '.join(sorted(found)) or 'no alarm'}")

    def rates(self) -> dict[str, float]:
        rates: dict[str, float] = {"worlds": self.worlds}
        for name in ("leak", "data", "psi", "hard") if self.worlds else ():
            rates[f"false_alarm.{name}"] = round(self.alarms[name] / self.worlds, 4)
            rates[f"false_alarm.{name}.high"] = round(_bound(self.alarms[name], self.worlds), 4)
        return rates

    def plant_leaks(self, place: str, folder: Path, study: Study) -> None:
        words: Counter[str] = Counter()
        for leak in LEAKS:
            table, knowing = plant(leak, folder / "export.parquet", study, folder / "leaking.parquet")
            points = choose_points(table, knowing)
            rows, test = (
                join_snapshots([observe_known_outcomes(table, knowing, point) for point in part])
                for part in (points.train, points.test)
            )
            checks = [*run_leakage_checks(table, knowing, rows, test), check_report_before_occur(table)]
            wrong = _find_failed(check.as_dict() for check in checks)
            word = "missed" if not wrong else "signed" if all(check.get("signed") for check in wrong) else "refused"
            words[word] += 1
            self.say(f"{place}, {leak}: {word} ({', '.join(check['check'] for check in wrong)})")
        self.figures |= {f"leaks.{place}.{word}": words[word] for word in ("refused", "signed", "missed")}

    def judge_study(self, folder: Path, name: str) -> None:
        settings = load_settings({"SELLERTRUST_DATA_DIR": str(folder)})
        trained = run_training(make_job(settings, load_study(STUDIES / f"{name}.toml"), None, show_nothing))
        gates = trained.gates["gates"]
        [limit] = [gate["limit"] for gate in gates if gate["gate"] == "ranking"]
        lost = trained.evaluation["judged"]["difference"]["lightgbm-logistic"]
        proven = "worse" if lost["high"] < -limit else "not worse" if lost["low"] > -limit else "unknown"
        self.say(f"{name}: {spell_verdict(gates)}; against logistic regression: {proven}")
        figures = {"refused": not trained.passed, "signed": sum(not gate["ok"] for gate in gates)}
        self.figures |= {f"studies.{name}.{word}": float(value) for word, value in figures.items()}


def _try_markets(tally: Tally) -> None:
    mapping, shipped = STUDIES / "marketplace.mapping.toml", load_study(STUDIES / "marketplace.toml")
    for kind, market in MARKETS.items():
        with TemporaryDirectory() as files:
            write_market(simulate_like(market, MARKET_WORLDS, FIRST_SEED), Path(files))
            with imported(mapping, Path(files), tally.say) as (_, table):
                for sellers in np.array_split(np.arange(len(table.sellers)), MARKET_WORLDS):
                    tally.count_world(kind, _train_world(table, sellers, market.restate(shipped)))
    with TemporaryDirectory() as files:
        write_files(SELLERS, Path(files))
        with imported(mapping, Path(files), tally.say) as (folder, _):
            tally.judge_study(folder, "marketplace")
            tally.plant_leaks("market", folder, shipped)


def _try_cities(tally: Tally) -> None:
    for city, (data, studies) in CITIES.items():
        if (files := data()) is None:
            tally.say(f"{city} skipped: its folder in ../shared/data is absent")
            continue
        study, rng = load_study(STUDIES / f"{studies[0]}.toml"), np.random.default_rng(FIRST_SEED)
        with imported(STUDIES / f"{city}.mapping.toml", files, tally.say) as (folder, table):
            for name in studies:
                tally.judge_study(folder, name)
            tally.plant_leaks(city, folder, study)
            everyone = len(table.sellers)
            for _ in range(CITY_WORLDS):
                sellers = np.sort(rng.permutation(everyone)[: everyone // 2])
                tally.count_world(city, _train_world(table, sellers, study))


def _find_failed(checks: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [check for check in checks if not check["ok"] and not check["text"].startswith("not judged")]


def _train_world(table: LedgerTable, sellers: Ints, study: Study) -> TrainedModel:
    return train(cut_before(table, sellers, table.end_day), study)
