"""Rescoring of a marketplace by tasks over Parquet: over the bare prediction, its growth, memory and bytes.

At most BASE simulated sellers go through a real ledger and its export. Their entries are repeated under other names as
Parquet, a file a bucket.

`rescore_over_predict`: seconds of all tasks over LightGBM's `Booster.predict` with the rows of the answers, 18 a seller.
`growth.SELLERS`: processor microseconds a seller, from a quarter of `sellers` to twice as many; `growth.spread`: the
largest over the smallest. `bit_equal.sellers`: answers compared with single requests to the ledger.
`rollover_over_full`: processor seconds of the next day's run with midnights rolled over, over those without.
`fold_over_duckdb`: folding one bucket's facts over DuckDB's decayed sums of its orders alone, with the package duckdb.
`spark_over_local`: seconds of all lines by Spark's `local[2]`, over this machine's processes.

`--only train` is `tests.bench._ten_million_rows`, of a million sellers.
`--only year` is `tests.bench._year_of_2014`, of 100,000 sellers.
`--only ten` scores ten million sellers once. `--only small` has 20,000 sellers, `tenth` 100,000, `quarter` 250,000; the
whole is `million`.
"""

import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from scoring.base.enums import Kind
from scoring.base.errors import SellertrustError
from scoring.base.time import DAY, parse_day
from scoring.features.decay import EXPOSURE_BITS
from scoring.features.resolved import resolve_sellers
from scoring.features.views import view_at_times
from sellertrust.names import seller_name
from service.bootstrap import build_scorer
from service.contract.scores import score_message
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.policy.policy_file import SHIPPED_POLICY, read_policy
from service.scale.export import ENTRIES_PER_BUCKET, ExportResult, export_entries
from service.scale.layout import SCHEMA, EntryFile, encode_file, find_bucket, read_entries, read_files
from service.scale.local import TaskLine, run_locally
from service.scale.manifest import EarlierRun, make_manifest
from service.scale.rescoring import Run, write_generation, write_run
from service.scale.task import read_receipt, read_scores_of_task, run_task
from service.scores.book.code_digests import contract_digest, core_digest
from service.scores.book.generation_file import GenerationHead
from service.scores.extract import COLUMNS, Extract
from service.shared_files import Store
from tests.bench._processes import read_peak_mb
from tests.bench._ten_million_rows import run_ten_million
from tests.bench._year_of_2014 import run_year
from tests.helpers.servers import Shelf
from tests.helpers.spark import missing, start_spark
from tests.helpers.training_ledgers import market_ledger
from tests.helpers.worlds import artifact, population

Say = Callable[[str], None]
BASE, DAYS, MARKET = 10_000, 730, "demo"
ROWS_OF_ANSWER = 18
SELLERS = {"small": 20_000, "tenth": 100_000, "quarter": 250_000, "million": 1_000_000}
TRAIN_SELLERS, YEAR_SELLERS, MOST_SELLERS = 1_000_000, 100_000, 10_000_000
PARTS = (*SELLERS, "ten", "train", "year")
PREDICTED = 2_000_000
"""Rows that are predicted; the time of more is by slope."""


class Used(NamedTuple):
    seconds: float
    processor_seconds: float


def run(say: Say, part: str = "million", base: int = 0, sellers: int = 0) -> dict[str, float]:
    if part == "year":
        return run_year(say, sellers or YEAR_SELLERS)
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        if part == "train":
            return run_ten_million(say, folder, sellers or TRAIN_SELLERS)
        if part == "ten":
            return _run_once(say, folder, base or BASE, sellers or MOST_SELLERS)
        size = sellers or SELLERS[part]
        return _run(say, folder, base or min(BASE, size // 4), size)
    finally:
        shutil.rmtree(folder)


def _run_once(say: Say, folder: Path, base: int, size: int) -> dict[str, float]:
    with market_ledger(folder / "market", base, days=DAYS) as ledger:
        _, exported, cut = _export(ledger, folder)
    copies = size // base
    run, size = _generate(say, folder, exported, cut, copies), copies * base
    peak_mb, used = _measure_largest_task(run), _rescore(run)
    return {
        "ten.sellers": size,
        "ten.rescore_s": round(used.seconds, 1),
        "ten.processor_us_per_seller": round(used.processor_seconds / size * 1e6, 1),
        "ten.entries_gb": round(sum(file.bytes for task in run.manifest.tasks for file in task.files) / 1e9, 2),
        "ten.tasks": len(run.manifest.tasks),
        "ten.peak_mb": round(peak_mb),
    }


def _run(say: Say, folder: Path, base: int, size: int) -> dict[str, float]:
    with market_ledger(folder / "market", base, days=DAYS) as ledger:
        found, exported, cut = _export(ledger, folder)
        say(f"{exported.rows:,} entries of {base:,} sellers are exported")
        found |= _compare(ledger, folder, exported, cut)
        say(f"{found}")
    whole = size // base
    sizes = [max(whole // 4, 1), max(whole // 2, 1), whole, 2 * whole]
    runs = {copies: _generate(say, folder, exported, cut, copies) for copies in sizes}
    last = runs[whole]
    peak_mb = _measure_largest_task(last)
    used: dict[int, list[Used]] = {copies: [] for copies in sizes}
    for turn in range(2):
        for copies in sizes if turn % 2 else sizes[::-1]:
            used[copies].append(_rescore(runs[copies]))
            say(f"{copies * base:,} sellers: {used[copies][-1]}")
    size = whole * base
    predict = _predict(size)
    seconds = min(one.seconds for one in used[whole])
    by_size = {
        copies * base: min(one.processor_seconds for one in used[copies]) / (copies * base) * 1e6 for copies in sizes
    }
    found |= _roll_over(last) | _compare_fold(last) | _beside_spark(last, seconds)
    began = time.monotonic()
    (folder / "generations").mkdir(mode=0o700)
    written = write_generation(folder / "generations", last.manifest.head, [last], lambda *_: None)
    made = time.monotonic() - began
    entries = sum(file.bytes for task in last.manifest.tasks for file in task.files)
    scores = sum(len(last.store.read(name)) for name in last.store.list("scores"))
    return found | {
        "sellers": size,
        "rescore_s": round(seconds, 1),
        "predict_s": round(predict, 1),
        "rescore_over_predict": round(seconds / predict, 2),
        **{f"growth.{number}": round(value, 1) for number, value in by_size.items()},
        "growth.spread": round(max(by_size.values()) / min(by_size.values()), 3),
        "core_seconds_per_million": round(by_size[whole * base], 1),
        "bytes_per_seller": round(entries / size, 1),
        "scores.bytes_per_seller": round(scores / written.sellers, 1),
        "generation_us_per_seller": round(made / written.sellers * 1e6, 1),
        "generation.bytes_per_seller": round(written.path.stat().st_size / written.sellers, 1),
        "peak_mb": round(peak_mb),
    }  # fmt: skip


def _generate(say: Say, folder: Path, exported: ExportResult, cut: Cut, copies: int) -> Run:
    place, began = folder / f"x{copies}", time.monotonic()
    run = _plan(_repeat(folder / "entries", place, exported, copies), place, cut)
    say(f"{copies} times as many sellers are generated in {time.monotonic() - began:.0f} s")
    return run


def _measure_largest_task(run: Run) -> float:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_run_largest, run).result()


def _run_largest(run: Run) -> float:
    largest = max(run.manifest.tasks, key=lambda task: task.rows)
    run_task(run.store.place, largest.line)
    return read_peak_mb()


def _export(ledger: Ledger, folder: Path) -> tuple[dict[str, float], ExportResult, Cut]:
    end = ledger.cut()
    cut = Cut(parse_day("2025-12-30") * DAY + DAY // 4, end.known_time, end.sequence)
    began = time.monotonic()
    exported = export_entries(ledger, Store(folder / "entries"), MARKET, cut, lambda *_: None)
    return {"export_us_per_entry": round((time.monotonic() - began) / exported.rows * 1e6, 1)}, exported, cut


def _compare(ledger: Ledger, folder: Path, exported: ExportResult, cut: Cut) -> dict[str, float]:
    run = _plan(exported, folder, cut, "own")
    _rescore(run)
    scorer = build_scorer(ledger, read_policy(SHIPPED_POLICY), Shelf(artifact()))
    differ = sellers = 0
    for task in run.manifest.tasks:
        for seller, body in read_scores_of_task(*run, task).select("seller", "answer").iter_rows():
            [score], _ = scorer.scores(MARKET, [seller], cut)
            assert not isinstance(score, SellertrustError)
            differ += score_message(seller_name(MARKET, seller), score, None).SerializeToString() != body
            sellers += 1
    return {"bit_equal.sellers": sellers, "bit_equal.differ": differ}


def _repeat(entries: Path, folder: Path, exported: ExportResult, copies: int) -> ExportResult:
    """Write each seller `copies` times under other names, a file a bucket, as a long export leaves."""
    base = pl.concat(read_files(Store(entries), exported.files, [*SCHEMA])).sort("seller", "sequence")
    rows = len(base) * copies
    buckets = 1 << (rows // ENTRIES_PER_BUCKET).bit_length()
    runs = base["seller"].rle().struct.unnest()
    sellers, counts = runs["value"].to_list(), runs["len"].to_numpy().astype(np.int64)
    starts = np.cumsum(counts) - counts
    bucket_of = np.array(
        [find_bucket(f"{seller}-{copy}", buckets) for copy in range(copies) for seller in sellers], dtype=np.int16
    )
    by_bucket = np.argsort(bucket_of, kind="stable")
    ends = np.searchsorted(bucket_of[by_bucket], np.arange(buckets + 1))
    store, last = Store(folder / "entries"), int(base["sequence"].to_numpy().max())
    files: list[EntryFile] = []
    for bucket in range(buckets):
        copy_of, seller_of = np.divmod(by_bucket[ends[bucket] : ends[bucket + 1]], len(sellers))
        names = pl.Series([f"{sellers[seller]}-{copy}" for copy, seller in zip(copy_of, seller_of, strict=True)])
        order = names.arg_sort().to_numpy()
        copy_of, seller_of = copy_of[order], seller_of[order]
        repeats = counts[seller_of]
        skipped = np.repeat(starts[seller_of] - (np.cumsum(repeats) - repeats), repeats)
        copy = pl.Series(np.repeat(copy_of, repeats))
        suffix = pl.lit("-") + copy.cast(pl.String)
        frame = base[np.arange(repeats.sum()) + skipped].with_columns(
            pl.col("sequence") + copy * last,
            *(pl.col(name) + suffix for name in ("seller", "entry_id", "violation", "incident", "target")),
        )
        data, path = encode_file(frame), f"bucket={bucket:04d}/all.parquet"
        store.write(path, data)
        files.append(EntryFile(path, bucket, len(frame), len(names), len(data), sha256(data).hexdigest()))
    return exported._replace(buckets=buckets, sequence=last * copies, files=tuple(files))


def _plan(exported: ExportResult, folder: Path, cut: Cut, name: str = "run") -> Run:
    day, policy = cut.observe_time // DAY, read_policy(SHIPPED_POLICY)
    digests = (artifact().digest, policy.digest, core_digest(), contract_digest())
    head = GenerationHead(day, cut.observe_time, cut.known_time, exported.sequence, "", cut.observe_time, *digests)
    run = Store(folder / name)
    manifest = make_manifest(exported, str(folder / "entries"), head)
    write_run(run, manifest, artifact(), policy)
    return Run(run, manifest)


def _beside_spark(run: Run, seconds: float) -> dict[str, float]:
    if missing():
        return {}
    tasks = run.manifest.tasks
    here = [read_receipt(run.store, run.manifest, task).sha256 for task in tasks]
    _forget_scores(run)
    began = time.monotonic()
    spark = start_spark(run)
    _, log = spark.communicate()
    took = time.monotonic() - began
    assert spark.returncode == 0, log[-2000:]
    there = [read_receipt(run.store, run.manifest, task).sha256 for task in tasks]
    return {
        "spark_s": round(took, 1),
        "spark_over_local": round(took / seconds, 2),
        "spark.differing_parts": sum(one != other for one, other in zip(here, there, strict=True)),
    }


def _forget_scores(run: Run) -> None:
    for name in (*run.store.list("receipts"), *run.store.list("scores")):
        run.store.delete(name)


def _rescore(run: Run, processes: int = 0) -> Used:
    _forget_scores(run)
    lines = [TaskLine(run.store.place, task.line) for task in run.manifest.tasks]
    began, before = time.monotonic(), _measure_processor()
    for _ in run_locally(lines, processes, run.manifest.memory_bytes):
        pass
    return Used(time.monotonic() - began, _measure_processor() - before)


def _measure_processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _roll_over(run: Run) -> dict[str, float]:
    store, manifest = run
    receipts = {task.bucket: read_receipt(store, manifest, task) for task in manifest.tasks}
    head = manifest.head._replace(day=manifest.head.day + 1, observe_time=manifest.head.observe_time + DAY)
    earlier = EarlierRun(store.place, manifest.head.day, manifest.head.observe_time, manifest.head.sequence)
    rolled = [
        replace(task, earlier=(receipts[task.bucket].part, receipts[task.bucket].sha256)) for task in manifest.tasks
    ]
    used, parts = [], []
    for name, changed in (
        ("full", replace(manifest, head=head)),
        ("rolled", replace(manifest, head=head, earlier=earlier, tasks=rolled)),
    ):
        again = Run(Store(f"{store.place}-{name}"), changed)
        write_run(again.store, changed, artifact(), read_policy(SHIPPED_POLICY))
        used.append(min(_rescore(again, 1).processor_seconds for _ in range(3)))
        parts.append([read_receipt(again.store, changed, task).sha256 for task in changed.tasks])
    return {
        "rollover_over_full": round(used[1] / used[0], 3),
        "rollover.differing_parts": sum(full != roll for full, roll in zip(*parts, strict=True)),
    }


_DUCKDB = """
with stated as (
    select seller, exposure_day as day, arg_max(settled_orders, revision) as orders
    from read_parquet($files)
    where kind = $kind and report_time < $time and exposure_day < $time // 86400000000
    group by seller, exposure_day, product_category)
select seller, {sums} from stated join read_parquet($decay) on age = $time // 86400000000 - day group by seller
"""


def _compare_fold(run: Run) -> dict[str, float]:
    try:
        import duckdb
    except ImportError:  # a peer, which nothing else needs: pip install duckdb
        return {}
    manifest = run.manifest
    task, time_now, folder = manifest.tasks[0], manifest.head.observe_time, artifact().folder
    entries = Store(manifest.entries)
    tables = folder._exposure_tables
    decay = pl.DataFrame({"age": range(tables.shape[1]), **{f"w{row}": one for row, one in enumerate(tables)}})
    sums = ", ".join(f"sum(orders * w{row})::bigint" for row in range(len(tables)))
    decay.write_parquet(f"{run.store.place}/decay.parquet")
    given = {
        "decay": f"{run.store.place}/decay.parquet",
        "files": [f"{entries.place}/{file.path}" for file in task.files],
        "kind": int(Kind.EXPOSURE),
        "time": time_now,
    }
    took: dict[str, list[float]] = {"own": [], "duckdb": []}
    for _ in range(3):
        began = time.process_time()
        extract = Extract(read_entries(entries, task.files, (*COLUMNS, "content")))
        own: dict[str, list[float]] = {}
        for batch in extract.facts.batches(MARKET, extract.sellers):
            table, _ = extract.facts.table(MARKET, batch, manifest.head.cut)
            facts = resolve_sellers(batch, table, time_now).visible
            found = folder.fold(view_at_times(facts, [time_now]).facts).orders
            own |= dict(zip(batch, found.T.tolist(), strict=True))
        took["own"].append(time.process_time() - began)
        began = time.process_time()
        with duckdb.connect(config={"threads": 1}) as connection:
            rows = connection.execute(_DUCKDB.format(sums=sums), given).fetchall()
        took["duckdb"].append(time.process_time() - began)
    differ = sum(own[seller] != [one / (1 << EXPOSURE_BITS) for one in found] for seller, *found in rows)
    return {"fold_over_duckdb": round(min(took["own"]) / min(took["duckdb"]), 2), "duckdb.differ": differ}


def _predict(sellers: int) -> float:
    inputs, _ = population()
    rows = min(sellers * ROWS_OF_ANSWER, PREDICTED)
    x = inputs[np.resize(np.arange(len(inputs)), rows)]
    booster = artifact()._booster
    took = []
    for _ in range(2):
        began = time.monotonic()
        booster.predict(x, raw_score=True, num_threads=0)
        took.append(time.monotonic() - began)
    return min(took) * sellers * ROWS_OF_ANSWER / rows
