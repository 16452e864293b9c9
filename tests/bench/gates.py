"""Gates: the shares of good models rejected and of broken models passed, by the number of bad test rows.

N is 50, 100, 200 or 400 bad test rows (tests/helpers/gate_worlds.py). `refused`: rejected by a hard gate; `passed`: all
hard gates without a signature; `signed`: the rest. Broken models are leaked (a feature knows the outcome, or one seller
in ten has a second name), shuffled (fitted to random outcomes) or turned (good and bad exchanged). Others are shifted
(twice or half the odds) or miscalibrated (log-odds twice or half as far apart). `gates.refused_by.GATE.N`: share of
good models that this gate rejects.

Two minutes on two idle cores.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from tests.helpers.gate_worlds import BROKEN, judged

Say = Callable[[str], None]
BAD_ROWS = (50, 100, 200, 400)
GOOD, EACH_BROKEN = 100, 20
"""Models simulated for each number of bad rows: good ones, and of each kind of broken ones."""


def run(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {"gates.good": GOOD, "gates.broken": len(BROKEN) * EACH_BROKEN}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for bad_rows in BAD_ROWS:
            good = [verdict(found) for found in pool.map(_judged, _asked("good", bad_rows, GOOD), chunksize=5)]
            said, by_gate = Counter(word for word, _ in good), Counter(gate for _, gates in good for gate in gates)
            row = {f"good_{word}": said[word] / GOOD for word in ("refused", "passed", "signed")}
            broken: Counter[str] = Counter()
            for kind in BROKEN:
                found = Counter(
                    verdict(g)[0] for g in pool.map(_judged, _asked(kind, bad_rows, EACH_BROKEN), chunksize=5)
                )
                row[f"{kind}_passed"] = found["passed"] / EACH_BROKEN
                broken.update(found)
            row |= {f"broken_{word}": broken[word] / (len(BROKEN) * EACH_BROKEN) for word in ("passed", "signed")}
            row |= {f"refused_by.{gate}": count / GOOD for gate, count in sorted(by_gate.items())}
            figures |= {f"gates.{name}.{bad_rows}": round(share, 4) for name, share in row.items()}
            say(f"{bad_rows:4} bad rows: {', '.join(f'{name} {share:.1%}' for name, share in row.items())}")
    return figures


def verdict(found: dict[str, Any]) -> tuple[str, list[str]]:
    refusing = [row["gate"] for row in found["gates"] if row["kind"] == "hard" and not row["ok"]]
    is_open = any(row["needed"] is not None for row in found["gates"])
    return ("refused" if refusing else "signed" if is_open else "passed"), refusing


def _asked(kind: str, bad_rows: int, number: int) -> Iterable[tuple[str, int, int]]:
    return [(kind, bad_rows, seed) for seed in range(number)]


def _judged(asked: tuple[str, int, int]) -> dict[str, Any]:
    return judged(*asked)
