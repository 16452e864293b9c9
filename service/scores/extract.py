"""Facts from exported files: gives a scorer what the ledger's queries would."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from scoring.base.arrays import NEVER, Bools, Ints
from scoring.base.enums import INSPECTORS, Kind, Source, Status
from scoring.entries.flow import FlowDay
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import NO_VALUES, EntryColumns, FactRow, FactTable, OmittedAllegations
from scoring.features.facts import COUNTING_KINDS
from service.ledger.database.rows import require_known
from service.ledger.queries.facts import MAX_ALLEGATIONS, split_batches
from service.ledger.queries.measures import group_flow_days
from service.ledger.queries.supposed import NOTHING_SUPPOSED, SupposedEntries
from service.ledger.records import Cut

COLUMNS = (
    *("sequence", "seller", "entry_id", "kind", "occur_time", "report_time", "violation", "incident", "category"),
    *("severity", "status", "exposure_day", "product_category", "revision", "settled_orders", "service_failures"),
    *("identity_level", "target", "units", "until_time", "source", "violation_type", "listing"),
)
"""Columns of the files that scores read, for all kinds."""
CONTENT_KINDS = (int(Kind.IDENTITY), int(Kind.FLOW))
"""Kinds whose content is read."""

_SOURCES = {source.word: int(source) for source in Source}
_NUMBERS = {
    **{name: name for name in ("sequence", "kind", "occur_time", "report_time", "category", "severity", "status")},
    **{name: name for name in ("revision", "units", "source", "violation_type")},
    "day": "exposure_day",
    "orders": "settled_orders",
    "failures": "service_failures",
    "level": "identity_level",
    "until": "until_time",
}
_SALE_NUMBERS = ("report_time", "day", "revision", "orders", "failures")
_SALE_COLUMNS = [_NUMBERS[name] for name in _SALE_NUMBERS]


class Extract:
    """`entries`: COLUMNS, and the content of CONTENT_KINDS, by seller and sequence.

    `midnights`: as in `FactTable`, by seller. `sellers` begins with those that have none, so that few batches mix both.
    """

    def __init__(self, entries: pl.DataFrame, midnights: Mapping[str, Sequence[int]] = NO_VALUES) -> None:
        names = entries["seller"].unique(maintain_order=True)
        has_midnights = names.is_in([*midnights]).to_numpy()
        order = np.argsort(has_midnights, kind="stable")
        self.sellers: list[str] = names[order].to_list()
        entries = entries.with_columns(
            pl.Series("case", np.argsort(order)[entries["seller"].rle_id().to_numpy()]),
            pl.col("source").replace_strict(_SOURCES, default=None, return_dtype=pl.Int64),
            pl.col("violation_type").replace_strict(dict(TYPE_NUMBERS), default=None, return_dtype=pl.Int64),
        )
        kind = entries["kind"]
        conduct_kinds = [int(kind) for kind in sorted(COUNTING_KINDS - {Kind.EXPOSURE})]
        conduct = entries.filter(kind.is_in(conduct_kinds) | (kind > int(max(Kind))))
        flow = entries.filter(kind == int(Kind.FLOW))
        sales = entries.select("case", *_SALE_COLUMNS, "product_category").filter(kind == int(Kind.EXPOSURE))
        midnights_by_seller = None
        if midnights:
            conduct, sales = (rows.sort("case", maintain_order=True) for rows in (conduct, sales))
            unknown = [-1] * len(next(iter(midnights.values())))
            midnights_by_seller = np.array([midnights.get(seller, unknown) for seller in self.sellers]).T
        self.facts = _ExtractedFacts(self.sellers, conduct, sales, midnights_by_seller)
        self.measures = _ExtractedFlows(flow)


class _ExtractedFacts:
    """In place of `Ledger.facts`."""

    def __init__(
        self, sellers: Sequence[str], conduct: pl.DataFrame, sales: pl.DataFrame, midnights: Ints | None
    ) -> None:
        self._midnights = midnights
        self._place_of = {seller: place for place, seller in enumerate(sellers)}
        listing = pl.when(pl.col("kind") == int(Kind.VIOLATION)).then("listing")
        self._rows = conduct.select(*FactRow._fields[:-2], "content", listing)
        self._columns = _make_columns(conduct, len(sellers))
        self._sales, self._products = _make_sales(sales, len(sellers))
        places = np.arange(len(sellers) + 1)
        self._ends = np.searchsorted(self._columns.case, places), np.searchsorted(self._sales.case, places)
        reports = (self._columns.kind == Kind.VIOLATION) & (self._columns.status == Status.ALLEGED)
        self._alleged = np.bincount(self._columns.case[reports], minlength=len(sellers))

    def batches(self, marketplace: str, sellers: Sequence[str]) -> Iterator[Sequence[str]]:  # noqa: ARG002
        rows = np.diff(self._ends[0]) + np.diff(self._ends[1])
        places = [self._place_of[seller] for seller in sellers]
        yield from split_batches(sellers, rows[places], self._alleged[places], MAX_ALLEGATIONS)

    def table(
        self,
        marketplace: str,
        sellers: Sequence[str],
        cut: Cut,
        values: Collection[str] = (),
        supposed: SupposedEntries = NOTHING_SUPPOSED,
    ) -> tuple[FactTable, dict[str, OmittedAllegations]]:
        if values or supposed != NOTHING_SUPPOSED:
            raise ValueError(f"files give the scores of {marketplace}, no values and nothing supposed")
        first = self._place_of[sellers[0]]
        last = first + len(sellers)
        conduct_rows, sales_rows = (slice(ends[first], ends[last]) for ends in self._ends)
        columns = _renumber(self._columns, conduct_rows, first, len(sellers))
        if len(columns.kind) and int(columns.kind.max()) > max(Kind):
            place = int(columns.kind.argmax())
            require_known(int(columns.kind[place]), int(columns.sequence[place]))
        rows = _LazyRows(self._rows, conduct_rows.start, columns.case)
        omitted: dict[str, OmittedAllegations] = {}
        if len(sellers) == 1 and self._alleged[first] > MAX_ALLEGATIONS:
            columns, omitted[sellers[0]] = _limit_allegations(columns, rows, cut.observe_time)
        sales = _renumber(self._sales, sales_rows, first, len(sellers))
        midnights = None if self._midnights is None else self._midnights[:, first:last]
        return FactTable(rows, columns, sales, self._products, midnights=midnights), omitted


class _LazyRows(Sequence[FactRow]):
    """Rows of consecutive sellers; a seller's are made when one of them is read, since few are."""

    def __init__(self, frame: pl.DataFrame, begin: int, case: Ints) -> None:
        self._frame, self._begin, self._case = frame, begin, case
        self._made_rows: dict[int, FactRow] = {}

    def __len__(self) -> int:
        return len(self._case)

    def __getitem__(self, index: Any) -> Any:
        if index not in self._made_rows:
            seller = self._case[index]
            first, end = (int(np.searchsorted(self._case, seller, side)) for side in ("left", "right"))
            rows = self._frame.slice(self._begin + first, end - first).rows()
            self._made_rows |= enumerate(map(_make_row, rows), first)
        return self._made_rows[index]


def _make_row(columns: tuple[Any, ...]) -> FactRow:
    """Return a row with the attributes that its content states."""
    row = FactRow._make(columns)
    content: Any = row.attributes
    return row if content is None else row._replace(attributes=json.loads(content).get("attributes", {}))


def _make_columns(rows: pl.DataFrame, sellers: int) -> EntryColumns:
    texts = pl.concat([rows[name].alias("text") for name in ("entry_id", "incident", "target")])
    entry, incident, target = np.split(_number_texts(texts), 3)
    return EntryColumns(
        cases=sellers,
        case=rows["case"].to_numpy(),
        row=np.arange(len(rows), dtype=np.int64),
        violation=_number_texts(rows["violation"]),
        product=_number_texts(rows["product_category"]),
        entry=entry,
        incident=incident,
        target=target,
        **{name: _read_numbers(rows[column]) for name, column in _NUMBERS.items()},
    )


def _make_sales(sales: pl.DataFrame, sellers: int) -> tuple[EntryColumns, Sequence[str]]:
    nothing = np.zeros(len(sales), dtype=np.int64)
    products = sales["product_category"].unique().sort()
    columns: dict[str, Any] = dict.fromkeys((name for name in EntryColumns.__dataclass_fields__), nothing)
    columns |= {name: _read_numbers(sales[column]) for name, column in zip(_SALE_NUMBERS, _SALE_COLUMNS, strict=True)}
    columns |= {
        "cases": sellers,
        "case": sales["case"].to_numpy(),
        "row": np.arange(len(sales), dtype=np.int64),
        "kind": np.full(len(sales), int(Kind.EXPOSURE), dtype=np.int64),
        "product": _number_texts(sales["product_category"]),
    }
    return EntryColumns(**columns), products.to_list()


def _renumber(columns: EntryColumns, places: slice, first: int, cases: int) -> EntryColumns:
    """Return the rows of a slice, with rows and cases numbered from 0."""
    chosen = columns.take(places)
    rows = np.arange(len(chosen.case), dtype=np.int64)
    return chosen.with_columns(row=rows).of_cases(chosen.case - first, cases)


def _read_numbers(column: pl.Series) -> Ints:
    return column.fill_null(0).to_numpy()


def _number_texts(texts: pl.Series) -> Ints:
    """Number texts from 0 in their order; -1 for null."""
    return texts.rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1


def _limit_allegations(
    columns: EntryColumns, rows: Sequence[FactRow], observe_time: int
) -> tuple[EntryColumns, OmittedAllegations]:
    """Keep MAX_ALLEGATIONS visible allegations of a seller: inspectors' first, then the platform's, the gravest first.

    Those that another entry names stay too.
    """
    alleges = (columns.kind == Kind.VIOLATION) & (columns.status == Status.ALLEGED)
    seen_after = np.maximum(columns.occur_time, columns.report_time)
    is_seen = alleges & (seen_after < observe_time)
    by_gravity = np.lexsort((-columns.sequence, -columns.severity))
    kept: dict[int, None] = {}
    of_source = (np.isin(columns.source, [*INSPECTORS]), columns.source == Source.PLATFORM_DETECTION, alleges)
    for group in of_source:
        if len(kept) < MAX_ALLEGATIONS:
            kept |= dict.fromkeys(by_gravity[(is_seen & group)[by_gravity]][:MAX_ALLEGATIONS].tolist())
    is_kept: Bools = ~alleges
    named = {name for place in np.flatnonzero(is_kept).tolist() for name in (rows[place].violation, rows[place].target)}
    is_kept[list(kept)[:MAX_ALLEGATIONS]] = True
    is_kept |= alleges & np.array([rows[place].entry_id in named for place in range(len(alleges))], dtype=np.bool_)
    later = seen_after[alleges & (seen_after >= observe_time)]
    omitted = OmittedAllegations(int((is_seen & ~is_kept).sum()), NEVER if not len(later) else int(later.min()) + 1)
    return columns.take(is_kept), omitted


class _FlowRow(NamedTuple):
    seller: str
    exposure_day: int
    product_category: str
    revision: int
    entry_id: str
    sequence: int
    content: str
    report_time: int


class _ExtractedFlows:
    """In place of `Ledger.measures`."""

    def __init__(self, flow: pl.DataFrame) -> None:
        self._flow = flow.sort("seller", "exposure_day", "product_category", "revision")

    def flows(
        self,
        marketplace: str,  # noqa: ARG002
        sellers: Sequence[str],
        cut: Cut,
        first_day: int,
        *,
        with_before: bool = False,
    ) -> Mapping[str, list[FlowDay]]:
        if not len(self._flow):
            return {}
        is_seen = (pl.col("occur_time") < cut.observe_time) & (pl.col("report_time") < cut.observe_time)
        visible = self._flow.filter(pl.col("seller").is_in(list(sellers)) & is_seen)
        day = pl.col("exposure_day")
        is_read = day >= first_day
        if with_before:
            earlier = pl.when(day < first_day).then(day).max().over("seller")
            is_read |= day == earlier
        rows = visible.filter(is_read).select(_FlowRow._fields).iter_rows()
        return group_flow_days(map(_FlowRow._make, rows), with_before)
