"""The public report as HTML and CSV, by pure functions."""

import csv
import io
import tomllib
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple

from sellertrust.v1 import review_service_pb2 as review_pb
from service.web.frame.rendering import STYLESHEET, templates, time_of, word
from service.web.languages import day_in

TEXTS = tomllib.loads((Path(__file__).parent / "report.toml").read_text(encoding="utf-8"))
COLUMNS = (
    *("period", "simulated", "part", "figure", "unit", "as", "as_of_time", "dimension", "name"),
    *("state", "count", "value", "low", "high"),
)
PRESS = (("listings", 90_000_000), ("sellers", 1_000_000), ("gangs", 200), ("patents", 3_000))
"""The press figures of 2014."""
_DAY_HOURS = 48

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
                for row in _rows(figure.published if name == "published" else figure.known):
                    lines.writerow((*begin, name, moment, *row))
    for name in report.not_from_ledger:
        lines.writerow(
            (report.period, str(report.simulated).lower(), "", name, *[""] * 5, "not from the ledger", *[""] * 4)
        )
    return out.getvalue()


def _rows(value: Value) -> Iterator[tuple[object, ...]]:
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
    view = _View(report, language)
    style = STYLESHEET.decode() if alone else ""
    return (
        templates()
        .get_template("report.html")
        .render(
            view=view, report=report, marketplace=marketplace, language=language, texts=TEXTS[language], style=style
        )
    )


class _View:
    def __init__(self, report: Report, language: str) -> None:
        self._report = report
        self._texts: dict[str, Any] = TEXTS[language]
        self._language = language
        self.figures = {figure.key: figure for figure in report.figures}
        self.is_published = report.HasField("publish_time")

    def say(self, key: str, **values: object) -> str:
        return str(self._texts[key]).format(**values)

    def label(self, key: str) -> str:
        return str(self._texts["figure"].get(key, word(key)))

    def cell(self, name: str) -> str:
        return str(self._texts.get("cell", {}).get(name, word(name)))

    def day(self, time: Any) -> str:
        return day_in(self._language, time_of(time))

    def parts(self) -> Iterator[tuple[str, str, list[Any]]]:
        for part in dict.fromkeys(figure.part for figure in self._report.figures):
            yield part, self._texts["part"][part], [one for one in self._report.figures if one.part == part]

    def line(self, figure: Any) -> ReportLine:
        key = figure.key
        return ReportLine(self.label(key), self.text(key, figure.published), self.text(key, figure.known))

    def text(self, key: str, value: Value) -> str:
        if not value.state:
            return ""
        unit, comma = self.figures[key].unit, self.say("comma")
        if unit == review_pb.TRANSPARENCY_UNIT_COUNT:
            return self.count(value.state, value.count)
        cases = self.say("cases", count=self.count(value.state, value.count))
        if not value.HasField("value"):
            hidden = value.state == review_pb.SHOWN_STATE_HIDDEN
            return self.say("withheld") if hidden else cases if value.count else self.say("no_case")
        if unit == review_pb.TRANSPARENCY_UNIT_HOURS:
            number = round(value.value, 1)
            if number > _DAY_HOURS:
                return f"{self.say('days', days=round(number / 24, 1))}{comma}{cases}"
            return f"{self.say('hours', hours=number) if number >= 1 else self.say('soon')}{comma}{cases}"
        interval = ""
        if value.HasField("low"):
            interval = f" ({self.say('interval', low=_percent(value.low), high=_percent(value.high))})"
        return f"{_percent(value.value)}{interval}{comma}{cases}"

    def count(self, state: int, count: int) -> str:
        if state == review_pb.SHOWN_STATE_HIDDEN:
            return self.say("hidden")
        text = f"{count:,}"
        return self.say("at_least", count=text) if state == review_pb.SHOWN_STATE_AT_LEAST else text

    def splits(self, figure: Any) -> Iterator[tuple[str, list[ReportLine]]]:
        for index, split in enumerate(figure.known.splits):
            published = figure.published.splits[index : index + 1] if figure.HasField("published") else []
            columns = [self._cells(figure.key, one, is_known=one is split) for one in (*published, split)]
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
                yield self.say("by", dimension=self._texts["dimension"][split.dimension]), lines

    def _cells(self, key: str, split: Any, *, is_known: bool) -> dict[str, str]:
        texts = {self.cell(cell.name): f"{cell.count:,}" for cell in split.cells}
        if key == "overturned":
            confirmed = self.figures["confirmed"]
            whole = (confirmed.known if is_known else confirmed.published).splits
            counts = {cell.name: cell.count for one in whole if one.dimension == "source" for cell in one.cells}
            for cell in split.cells:
                if cell.count and (of := counts.get(cell.name)):
                    texts[self.cell(cell.name)] += f" ({_percent(cell.count / of)})"
        if split.together:
            names = self.say("comma").join(self.cell(name) for name in split.together)
            texts[self.say("together", names=names)] = f"{split.together_count:,}"
        return texts

    def press(self) -> list[tuple[str, str, str, str]]:
        listings = self.figures["listings"].known
        if not self._report.simulated or len(self._report.period) != 4 or not listings.count:
            return []
        sources = {split.dimension: split for split in self.figures["orders"].known.splits}
        sellers = self.figures["sellers_measured"].known
        counts: dict[str, int] = {"listings": listings.count}
        if sellers.state == review_pb.SHOWN_STATE_EXACT:
            counts["sellers"] = sellers.count
        for cell in sources["source"].cells if "source" in sources else ():
            if cell.name == "patent_office":
                counts["patents"] = cell.count
        factor = PRESS[0][1] / listings.count
        return [
            (
                self.say(f"press_{name}"),
                f"{count:,}",
                self.say("absent_word" if name == "gangs" else "withheld") if number is None else f"{number:,}",
                "" if number is None else f"{round(number * factor):,}",
            )
            for name, count in PRESS
            for number in [counts.get(name)]
        ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
