"""One seller's history out of a small ledger and out of one ten times as large: rows read, and the whole score."""

import statistics
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import psycopg

from scoring.entries.entry import Entry
from scoring.policy.reading import parse_policy
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.policy.policy_file import SHIPPED_POLICY
from tests.bench._durable import BACKENDS, all_rows, is_sqlite, new_databases, sqlite_of
from tests.bench._workload import MARKETPLACE, entries
from tests.frozen import model, versions
from tests.servers import Shelf

PASSES = 5
ENTRIES = {"long": 1_000, "short": 30}  # of the sellers under test
SELLERS = 200  # of each kind
OFFSET = 11  # sequence of the first synthetic entry: after the ten real ones that it is made like
CHUNK = 500_000
DAY = 86_400_000_000

# n: number of the row; seller and j: whose entry it is, and his how-manieth. Of every `stride` rows one belongs to a long
# history, one of 33 strides has one of a short history, the rest are of other sellers.
_WHO = """
SELECT n,
  CASE WHEN n % {stride} = 0 AND n / {stride} < {long_rows} THEN 'long-' || (n / {stride} % {sellers})
    WHEN n % {stride} = 1 AND n / {stride} % 33 = 0 AND n / {stride} / 33 < {short_rows}
      THEN 'short-' || (n / {stride} / 33 % {sellers})
    ELSE 'other-' || (n % {others}) END AS seller,
  CASE WHEN n % {stride} = 0 AND n / {stride} < {long_rows} THEN n / {stride} / {sellers}
    WHEN n % {stride} = 1 AND n / {stride} % 33 = 0 AND n / {stride} / 33 < {short_rows}
      THEN n / {stride} / 33 / {sellers}
    ELSE n / {others} END AS j
FROM {numbers}
"""
_NUMBERS = {
    True: "(WITH RECURSIVE g(n) AS (SELECT {a} UNION ALL SELECT n + 1 FROM g WHERE n < {b}) SELECT n FROM g) AS g",
    False: "generate_series({a}::bigint, {b}::bigint) AS g(n)",
}
_INDEXES = {
    True: "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'entry' AND sql IS NOT NULL",
    False: "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i"
    " WHERE i.indrelid = 'entry'::regclass AND NOT i.indisprimary",
}


def _expressions(record_time: int) -> dict[str, str]:
    """Columns of a synthetic row that are not those of the real entry it is made like."""
    name = "w.seller || '-' || w.j"
    return {
        "sequence": f"w.n + {OFFSET}",
        "seller": "w.seller",
        "entry_id": name,
        "violation": f"CASE t.kind WHEN 1 THEN {name} WHEN 2 THEN w.seller || '-' || (w.j - 9) END",
        "incident": f"CASE t.kind WHEN 1 THEN {name} END",
        "occur_time": f"t.occur_time - w.j * {DAY}",
        "exposure_day": "t.exposure_day - w.j",
        "record_time": f"{record_time} + w.n",
    }


def history(folder: Path, rows: int, show: Callable[[str, float], None], progress: Callable[..., None]) -> None:
    """Medians of microseconds over the sellers, warm, both ledgers in turns; a ratio is the median over PASSES."""
    sizes = (rows // 10, rows)
    sellers = min(SELLERS, sizes[0] // 5_000)
    show("history_sellers", sellers)
    worst = 0.0
    for backend in BACKENDS:
        place = folder / f"history-{backend}"
        place.mkdir()
        with ExitStack() as stack:
            new_database = stack.enter_context(new_databases(backend, place))
            ledgers = {}
            for size in sizes:
                url = new_database()
                started = time.perf_counter()
                _fill(url, size, sellers, partial(progress, f"fill {backend} {label(size)}"))
                show(f"history_fill_s.{backend}.{label(size)}", round(time.perf_counter() - started, 1))
                ledgers[size] = stack.enter_context(Ledger.open(url))
            ratios = _measure(backend, ledgers, sellers, show)
            worst = max(worst, *ratios)
    show(f"history_us_{label(sizes[1])}_over_{label(sizes[0])}", round(worst, 3))


def label(rows: int) -> str:
    """`label(10_000_000) == "10m"`, `label(200_000) == "200k"`."""
    return f"{rows // 1_000_000}m" if rows % 1_000_000 == 0 else f"{rows // 1_000}k"


def _measure(
    backend: str, ledgers: dict[int, Ledger], sellers: int, show: Callable[[str, float], None]
) -> Sequence[float]:
    """The ratios, large over small, of every case."""
    artifact = model(versions()[-1])
    policy = parse_policy(tomllib.loads(SHIPPED_POLICY.read_text(encoding="utf-8")))
    scorers = {size: build_scorer(ledger, policy, Shelf(artifact)) for size, ledger in ledgers.items()}
    halves = {size: _half_time(ledger, size) for size, ledger in ledgers.items()}

    def rows(size: int, kind: str, seller: str, known_time: int | None) -> float:
        cut = ledgers[size].cut(known_time=known_time)
        started = time.perf_counter()
        found = ledgers[size].fact_rows(MARKETPLACE, [seller], cut.sequence)
        took = time.perf_counter() - started
        meant = ENTRIES[kind] // (1 if known_time is None else 2)
        if not 0.9 * meant <= len(found) <= 1.1 * meant:
            raise RuntimeError(f"{seller} has {len(found)} rows in the ledger of {size:,}, where {meant} were meant")
        return took

    def score(size: int, kind: str, seller: str, known_time: int | None) -> float:
        started = time.perf_counter()
        [answer], _ = scorers[size].scores(MARKETPLACE, [seller], ledgers[size].cut(known_time=known_time))
        took = time.perf_counter() - started
        if isinstance(answer, Exception):
            raise answer
        return took

    ratios = []
    for kind, when, (what, measured) in product(ENTRIES, ("now", "past"), {"rows": rows, "score": score}.items()):
        medians: dict[int, list[float]] = {size: [] for size in ledgers}
        for number in range(PASSES + 1):
            times: dict[int, list[float]] = {size: [] for size in ledgers}
            for seller in (f"{kind}-{k}" for k in range(sellers)):
                for size in ledgers:
                    took = measured(size, kind, seller, halves[size] if when == "past" else None)
                    times[size].append(took * 1e6)
            if number:  # the first pass warms
                for size, values in times.items():
                    medians[size].append(statistics.median(values))
        for size, values in medians.items():
            name = f"history_us.{backend}.{ENTRIES[kind]}.{when}.{what}.{label(size)}"
            show(name, round(statistics.median(values), 1))
        small, large = ledgers
        ratios.append(statistics.median(b / a for a, b in zip(medians[small], medians[large], strict=True)))
    return ratios


def _half_time(ledger: Ledger, size: int) -> int:
    """Record time of the entry in the middle, by the synthetic rows' one microsecond each."""
    sequence, record_time = ledger.last()
    return record_time - (sequence - size // 2)


def _fill(url: str, rows: int, sellers: int, done: Callable[[int, int], None]) -> None:
    """Ten real entries (what kind a seller's entry is goes by its place in his history), then rows made like them."""
    with Ledger.open(url) as ledger:
        record_time = ledger.append(MARKETPLACE, _model_entries(), imported=True)[0].record_time
    columns, _ = all_rows(url)
    own = _expressions(record_time + 1)
    selected = ", ".join(own.get(column, f"t.{column}") for column in columns)
    sqlite = is_sqlite(url)
    stride = rows // (sellers * ENTRIES["long"])
    bounds = {"stride": stride, "sellers": sellers, "others": rows // 50}
    bounds |= {"long_rows": sellers * ENTRIES["long"], "short_rows": sellers * ENTRIES["short"]}
    with sqlite_of(url) if sqlite else closing(psycopg.connect(url, autocommit=True)) as session:

        def run(query: str) -> Any:
            return session.execute(query if sqlite else query.encode())  # type: ignore[arg-type]

        run("CREATE TABLE sample AS SELECT * FROM entry")
        run("CREATE UNIQUE INDEX sample_sequence ON sample (sequence)")
        indexes = run(_INDEXES[sqlite]).fetchall()
        for name, _ in indexes:  # made again over all rows at once: many times as fast, and the same indexes
            run(f"DROP INDEX {name}")
        for first in range(0, rows, CHUNK):
            numbers = _NUMBERS[sqlite].format(a=first, b=min(first + CHUNK, rows) - 1)
            who = _WHO.format(numbers=numbers, **bounds)
            run(
                f"INSERT INTO entry ({', '.join(columns)}) SELECT {selected} FROM ({who}) AS w"
                " JOIN sample AS t ON t.sequence = w.j % 10 + 1 ORDER BY w.n"
            )
            done(min(first + CHUNK, rows), rows)
        if not sqlite:
            run("SET maintenance_work_mem = '256MB'")
        for _, definition in indexes:
            run(definition)
        if not sqlite:
            run("VACUUM (ANALYZE) entry")  # as autovacuum does on a server that runs


def _model_entries() -> list[Entry]:
    """Seven violations, two exposure days, and a decision on the first violation: of one seller."""
    made = entries(0, 10, 1, reported=True)
    decision = made[9]
    return [*made[:9], Entry(decision.entry_id, "", decision.fact, decision.occur_time, decision.report_time)]
