"""The public report as HTML and CSV, by pure functions."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sellertrust.v1 import review_service_pb2 as review_pb
from service.web.frame.rendering import STYLESHEET, read_texts, templates, time_of, word
from service.web.languages import day_in

TEXTS = read_texts(Path(__file__).parent, "report.toml")
COLUMNS = (
    *("period", "simulated", "part", "figure", "unit", "as", "as_of_time", "dimension", "name"),
    *("state", "count", "value", "low", "high"),
)
PRESS = (("listings", 90_000_000), ("sellers", 1_000_000), ("gangs", 200), ("patents", 3_000))
"""The press figures of 2014."""

Report = review_pb.GetTransparencyReportResponse
Value = review_pb.TransparencyValue
_STATES = {review_pb.SHOWN_STATE_EXACT: "exact", review_pb.SHOWN_STATE_AT_LEAST: "at_least"}


class ReportLine(NamedTuple):
    name: str
    published: str
    known: str
    bar: int = 0


def write_csv(report: Report) -> str:
    """Return lines by COLUMNS: figures with splits and months, as published and known."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(COLUMNS)
    for figure in report.figures:
        unit = review_pb.TransparencyUnit.Name(figure.unit).removeprefix("TRANSPARENCY_UNIT_").lower()
        begin = (report.period, str(report.simulated).lower(), figure.part, figure.key, unit)
        for name, time in (("published", report.publish_time), ("known", report.known_time)):
            if name == "known" or figure.HasField("published"):
                moment = f"{time.ToDatetime(UTC):%Y-%m-%dT%H:%M:%SZ}"
                for row in _list_csv_rows(figure.published if name == "published" else figure.known):
                    lines.writerow((*begin, name, moment, *row))
    for name in report.not_from_ledger:
        lines.writerow(
            (report.period, str(report.simulated).lower(), "", name, *[""] * 5, "not from the ledger", *[""] * 4)
        )
    return out.getvalue()


def _list_csv_rows(value: Value) -> Iterator[tuple[object, ...]]:
    numbers = [getattr(value, name) if value.HasField(name) else "" for name in ("value", "low", "high")]
    state = _STATES.get(value.state, "hidden")
    yield "", "", state, value.count if state != "hidden" else "", *numbers
    for split in value.splits if state != "hidden" else ():
        for cell in split.cells:
            yield split.dimension, cell.name, state, cell.count, "", "", ""
        if split.together:
            yield split.dimension, "+".join(split.together), "together", split.together_count, "", "", ""
    for month in value.months:
        state = _STATES.get(month.state, "hidden")
        yield "month", month.month, state, month.count if state != "hidden" else "", "", "", ""


def write_html(report: Report, marketplace: str, language: str = "en", *, alone: bool = False) -> str:
    """Return the page; `alone`: with the stylesheet inside."""
    page = templates().get_template("report.html")
    return page.render(
        report=report,
        figures={figure.key: figure for figure in report.figures},
        splits=partial(_list_splits, report, TEXTS[language]),
        press=PRESS,
        states=review_pb.ShownState.Name,
        units=review_pb.TransparencyUnit.Name,
        day=lambda time: day_in(language, time_of(time)),
        marketplace=marketplace,
        language=language,
        texts=TEXTS[language],
        style=STYLESHEET.decode() if alone else "",
    )


def _list_splits(report: Report, texts: Mapping[str, Any], figure: Any) -> Iterator[tuple[str, list[ReportLine]]]:
    for index, split in enumerate(figure.known.splits):
        published = figure.published.splits[index : index + 1] if figure.HasField("published") else []
        columns = [
            _read_cells(report, texts, figure.key, column, is_known=column is split) for column in (*published, split)
        ]
        names = dict.fromkeys(name for column in columns for name in column)
        counts = [*(cell.count for cell in split.cells), split.together_count]
        known_counts = dict(zip(columns[-1], counts, strict=False))
        lines = [
            ReportLine(
                name,
                columns[0].get(name, "") if published else "",
                columns[-1].get(name, ""),
                known_counts.get(name, 0),
            )
            for name in names
            if {column.get(name, "0") for column in columns} != {"0"}
        ]
        if lines and figure.known.count:
            yield split.dimension, lines


def _read_cells(report: Report, texts: Mapping[str, Any], key: str, split: Any, *, is_known: bool) -> dict[str, str]:
    def name_cell(name: str) -> str:
        return str(texts.get("cell", {}).get(name, word(name)))

    cell_texts = {name_cell(cell.name): f"{cell.count:,}" for cell in split.cells}
    if key == "overturned":
        confirmed = next(figure for figure in report.figures if figure.key == "confirmed")
        whole = (confirmed.known if is_known else confirmed.published).splits
        counts = {
            cell.name: cell.count
            for whole_split in whole
            if whole_split.dimension == "source"
            for cell in whole_split.cells
        }
        for cell in split.cells:
            if cell.count and (confirmed_count := counts.get(cell.name)):
                cell_texts[name_cell(cell.name)] += f" ({100 * cell.count / confirmed_count:.1f} %)"
    if split.together:
        names = texts["comma"].join(map(name_cell, split.together))
        cell_texts[texts["together"].format(names=names)] = f"{split.together_count:,}"
    return cell_texts
