"""Append throughput beside what the database itself can take into the same table; single appends beside one commit."""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from service.api.garbage_collection import freeze_loaded_objects
from service.ingest.file_import import import_files
from service.ledger.store import Ledger
from tests.bench._durable import BACKENDS, NewDatabase, RawWriter, all_rows, is_sqlite, new_databases, rendered
from tests.bench._parts import PARTS, Timers
from tests.bench._workload import MARKETPLACE, entries, mapping, messages, write_file
from tests.servers import running_server

BATCH = 10_000  # of the raw writers, the import and the direct append
CALL = 1_000  # of AppendEntries
SELLERS = 100_000
SINGLES = 300
RAW = {"postgres": "copy", "sqlite": "executemany"}
Show = Callable[[str, float], None]


def throughput(
    folder: Path, rounds: int, round_rows: int, show: Show, progress: Callable[[str, int, int], None]
) -> None:
    """Each round every contestant writes the same `round_rows` entries into its own database, in turns.

    A ratio is the median over the rounds of raw seconds by contestant's seconds. All databases grow alike.
    """
    fsyncs: list[float] = []
    for backend in BACKENDS:
        place = folder / f"throughput-{backend}"
        place.mkdir()
        with ExitStack() as stack:
            new_database = stack.enter_context(new_databases(backend, place))
            contest = _Contest(stack, place, new_database, rounds, round_rows)
            for name in contest.timers["import"].missing:
                show(f"part_missing.{name}", 1)
            writers = contest.writers()
            seconds: dict[str, list[float]] = {name: [] for name in writers}
            parts: dict[str, dict[str, list[float]]] = {name: {} for name in contest.timers}
            for number in range(rounds):
                for name in rotated(list(writers), number):
                    with _timed(seconds[name]):
                        writers[name](number)
                for name, timers in contest.timers.items():
                    for part, took in timers.take().items():
                        parts[name].setdefault(part, []).append(took)
                progress(f"append to {backend}", number + 1, rounds)
            _show_ratios(backend, seconds, round_rows, show)
            for name, prefix in (("import", "part_us"), ("append1000", "call_part_us")):
                for part in ("parse_map", "wire", *PARTS):
                    if times := parts[name].get(part):
                        show(f"{prefix}.{backend}.{part}", round(statistics.median(times) / round_rows * 1e6, 2))
            singles = contest.singles()
            fsyncs += singles.pop("fsync_us")
            for name, times in singles.items():
                key, _, part = name.partition(".")
                show(f"{key}.{backend}" + (f".{part}" if part else ""), round(statistics.median(times) * 1e6, 1))
    show("fsync_us", round(statistics.median(fsyncs) * 1e6, 1))


def rotated(names: list[str], by: int) -> list[str]:
    """So that nobody always comes after the same other: `rotated(["a", "b", "c"], 1) == ["b", "c", "a"]`."""
    return names[by % len(names) :] + names[: by % len(names)]


def _show_ratios(backend: str, seconds: dict[str, list[float]], round_rows: int, show: Show) -> None:
    for name, times in seconds.items():
        show(f"{name}_rows_per_s.{backend}", round(round_rows / statistics.median(times)))
    for raw, suffix in (("raw", RAW[backend]), ("raw_rendered", f"rendered_{RAW[backend]}")):
        if raw not in seconds:
            continue
        for name in ("import", "append10000", "append1000"):
            ratios = [a / b for a, b in zip(seconds[raw], seconds[name], strict=True)]
            show(f"{name}_over_{suffix}.{backend}", round(statistics.median(ratios), 3))


class _Contest:
    """Those who write the same entries, each into a database of its own; all is ready before anybody is timed."""

    def __init__(self, stack: ExitStack, place: Path, new_database: NewDatabase, rounds: int, round_rows: int) -> None:
        self.timers = {"import": Timers(), "append1000": Timers()}
        self._single_timers = Timers()
        self._place, self._first_single, self._round_rows = place, rounds * round_rows, round_rows
        # An import like the measured one makes the raw rows: ready, and with every column that this release has.
        source = new_database()
        with Ledger.open(source) as ledger:
            for number in range(rounds):
                write_file(place / _file(number), entries(number * round_rows, round_rows, SELLERS, reported=True))
                self._import(ledger, _file(number), round_rows)
            write_file(place / "singles.csv", entries(self._first_single, SINGLES, SELLERS, reported=True))
            self._import(ledger, "singles.csv", SINGLES)
        columns, self._rows = all_rows(source)
        self._blocks: list[list[bytes]] = []
        if not is_sqlite(source):
            self._blocks = [rendered(source, n + 1, n + BATCH) for n in range(0, self._first_single, BATCH)]
            self._copying = stack.enter_context(RawWriter(new_database(), columns))
        self._raw = stack.enter_context(RawWriter(new_database(), columns))
        self._importing = stack.enter_context(Ledger.open(new_database()))
        self._appending = stack.enter_context(Ledger.open(new_database()))
        self._facts = [entries(number * round_rows, round_rows, SELLERS) for number in range(rounds)]
        self._sent = [messages(facts) for facts in self._facts]
        server = stack.enter_context(running_server(place, database_url=new_database()))
        self._client = stack.enter_context(server.client(deadline_seconds=60))
        # As the command that imports does it, and the server. Without, what is held ready here would be walked by every
        # full collection that a writer's own objects bring about: 10 us a row of an import that were not the import's.
        thresholds = gc.get_threshold()
        freeze_loaded_objects()
        stack.callback(gc.unfreeze)
        stack.callback(gc.set_threshold, *thresholds)

    def writers(self) -> dict[str, Callable[[int], None]]:
        """What writes round k, by name."""
        writers: dict[str, Callable[[int], None]] = {
            "raw": self._write_raw,
            "import": self._write_import,
            "append10000": self._write_directly,
            "append1000": self._write_by_calls,
        }
        if self._blocks:
            writers["raw_rendered"] = self._write_rendered
        return writers

    def _write_raw(self, number: int) -> None:
        for start in range(number * self._round_rows, (number + 1) * self._round_rows, BATCH):
            self._raw.write(self._rows[start : start + BATCH])

    def _write_rendered(self, number: int) -> None:
        batches = self._round_rows // BATCH
        for block in self._blocks[number * batches : (number + 1) * batches]:
            self._copying.write_rendered(block)

    def _write_import(self, number: int) -> None:
        with self.timers["import"].running("parse_map"):
            self._import(self._importing, _file(number), self._round_rows)

    def _import(self, ledger: Ledger, file: str, rows: int) -> None:
        report = import_files(ledger, mapping(file), self._place, _nobody)
        if report.appended != rows:
            raise RuntimeError(f"{report.appended} of {rows} rows were imported; {report.rejects[:3]}")

    def _write_directly(self, number: int) -> None:
        for start in range(0, self._round_rows, BATCH):
            self._appending.append(MARKETPLACE, self._facts[number][start : start + BATCH])

    def _write_by_calls(self, number: int) -> None:
        with self.timers["append1000"].running("wire"):
            for start in range(0, self._round_rows, CALL):
                self._client.append_entries(MARKETPLACE, self._sent[number][start : start + CALL])

    def singles(self) -> dict[str, list[float]]:
        """Seconds of calls that append one entry, and of their parts; beside each a raw row committed, and 4 KiB
        written and flushed.
        """
        times: dict[str, list[float]] = {"single_append_us": [], "commit_us": [], "fsync_us": []}
        timers = self._single_timers
        with (self._place / "fsync").open("wb", buffering=0) as file:
            for n in range(self._first_single, self._first_single + SINGLES):
                message = messages(entries(n, 1, SELLERS))
                with timers.running("wire"), _timed(times["single_append_us"]):
                    self._client.append_entries(MARKETPLACE, message)
                for part, took in timers.take().items():
                    times.setdefault(f"single_part_us.{part}", []).append(took)
                with _timed(times["commit_us"]):
                    self._raw.write(self._rows[n : n + 1])
                file.write(bytes(4096))
                with _timed(times["fsync_us"]):
                    os.fsync(file.fileno())
        return times


def _file(number: int) -> str:
    return f"events-{number}.csv"


def _nobody(step: str, done: int, total: int) -> None:
    """Watches the progress."""


@contextmanager
def _timed(into: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    into.append(time.perf_counter() - started)
