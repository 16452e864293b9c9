"""Section on the data: its origin, definitions, observation points and checks.

Parts raise Absent without their figures.
"""

from datetime import date, timedelta
from typing import Any

from training.report.numbers import Num, count, general, listed, number, plural
from training.report.parts import (
    Axis,
    Block,
    Box,
    Cell,
    Chip,
    Dot,
    Facts,
    Key,
    Label,
    Mark,
    Plot,
    Plots,
    Rule,
    Table,
    Text,
)
from training.report.reading import Absent, Reading

Json = Any
MAX_POINTS = 48


def lineage(r: Reading) -> list[Block]:
    """List study, ledger, seed, calibration and core version that the model was made from."""
    names = (
        ("study", "study"),
        ("study digest", "study_digest"),
        ("ledger as of", "ledger_as_of"),
        ("ledger digest", "ledger_digest"),
        ("entries of the ledger", "ledger_entries"),
        ("boosting rounds", "rounds"),
        ("seed", "seed"),
        ("calibration", "calibration"),
    )
    rows = [(name, _shown(r.lineage[key])) for name, key in names if key in r.lineage]
    if core := r.manifest.get("core_version"):
        rows.append(("scoring core", str(core)))
    if not rows:
        raise Absent("lineage.json of this model is empty")
    parameters = r.lineage.get("parameters")
    if parameters is not None:
        stated = ", ".join(f"{key} = {_shown(value)}" for key, value in parameters.items())
        rows.append(("parameters set by the study", stated or "none: the defaults of the release"))
    return [Facts(rows, code=True)]


def versions(r: Reading) -> list[Block]:
    libraries = ", ".join(f"{name} {version}" for name, version in r.traced("versions").items())
    return [Facts([("libraries", libraries)], code=True)]


def _shown(value: Json) -> str:
    return count(value) if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000 else str(value)


def definitions(r: Reading) -> list[Block]:
    d = r.traced("definition")
    rows: list[tuple[str, str]] = []
    if bad := d.get("bad"):
        least = d.get("bad_at_least")
        asks = [*([f"at least {least}"] if least and least != 1 else []), *map(str, d.get("bad_asks") or [])]
        rows.append(("bad", "; or ".join(map(str, bad)) + (f" ({', and '.join(asks)})" if asks else "")))
    if "reference_exposure" in d:
        reference = d["reference_exposure"]
        rows.append(
            (
                "reference exposure",
                "none: bad counts over the window, whatever the seller sells"
                if reference is None
                else f"{count(reference)} settled orders: p_bad is the chance of bad over so many",
            )
        )
    if d.get("weigh_by") == "orders":
        rows.append(("weights", "by settled orders in the window: an order counts as much as any other"))
    if slope := r.lineage.get("exposure_slope"):
        rows.append(("slope of exposure", f"{slope}; beside a seller's own orders alone, never in an answer"))
    if "window" in d:
        rows.append(("performance window", str(d["window"])))
    for key, name, what in (
        ("maturity_days", "maturity", "after the window before truth is read"),
        ("embargo_days", "embargo", "between the last training window and the test point"),
    ):
        if d.get(key) is not None:
            rows.append((name, f"{plural(d[key], 'day')} {what}"))
    if eligible := d.get("eligible"):
        rows.append(("eligible sellers", "; ".join(map(str, eligible))))
    return [Facts(rows)]


def windows(r: Reading) -> list[Block]:
    """Draw the latest MAX_POINTS observation points with their windows, maturity and embargo, over time."""
    points = [(p, "w-train") for p in r.traced("train")] + [(p, "w-test") for p in r.traced("test")]
    left_out = max(len(points) - MAX_POINTS, 0)
    points = points[left_out:]
    definition = r.lineage.get("definition") or {}
    maturity, embargo = definition.get("maturity_days") or 0, definition.get("embargo_days") or 0
    spans = [(_day(p["observe"]), _day(p["window_end"]), style) for p, style in points]
    as_of = _day(r.lineage["ledger_as_of"]) if "ledger_as_of" in r.lineage else None
    ends = [end + timedelta(maturity) for _, end, _ in spans] + ([as_of] if as_of else [])
    x = _calendar(min(start for start, _, _ in spans), max(ends))
    marks: list[Mark] = []
    trained = [end for _, end, style in spans if style == "w-train"]
    step = 100 / len(spans)
    if embargo and trained:
        start, end = max(trained), max(trained) + timedelta(embargo)
        left = x.at(start.toordinal())
        marks.append(Box(left, 0, x.at(end.toordinal()) - left, 100, "w-embargo", f"embargo: {embargo} days"))
    for k, (start, end, style) in enumerate(spans):
        marks += _span(x, step * (k + 0.5), step, (start, end, end + timedelta(maturity)), style)
    if as_of:
        at = x.at(as_of.toordinal())
        marks += [Rule(at, 0, at, 100, "now", f"the ledger as of {as_of}"), Label(at, 0, "as of", "end", -5, -3)]
    y = Axis(0, len(spans), "observed at", [(len(spans) - k - 0.5, str(s)) for k, (s, _, _) in enumerate(spans)])
    last_train, first_test = max(trained), min(start for start, _, style in spans if style == "w-test")
    gap = (first_test - last_train).days
    title = (
        f"The last training window ends {plural(gap, 'day')} before the test point"
        if gap >= 0
        else f"Training windows reach {plural(-gap, 'day')} into the test period"
    )
    late = (last_train + timedelta(maturity) - first_test).days
    caption = (
        "Each row is one observation point (diamond): features from what was known by then, the outcome from the solid bar,"
        " truth read at the end of the hatched one. Look for a training bar that reaches past the first test diamond: there"
        " should be none."
        + (f" The last training truth was read {plural(late, 'day')} after the test point." if late > 0 else "")
        + (f" The {left_out} earliest points are not drawn." if left_out else "")
    )
    keys = [Key("diamond", "observed", "observation point"), Key("box", "w-train", "training window")]
    keys += [Key("box", "w-test", "test window")]
    keys += [Key("box", "w-mature", "maturity")] if maturity else []
    keys += [Key("box", "w-embargo", "embargo")] if embargo else []
    return [Plots([Plot(title, caption, x, y, marks, keys, 70 + 24 * len(spans), 92, grid="x")], wide=True)]


def _span(x: Axis, middle: float, step: float, days: tuple[date, date, date], style: str) -> list[Mark]:
    start, end, matured = (x.at(day.toordinal()) for day in days)
    top, height = middle - step * 0.28, step * 0.56
    says = (
        f"{'test' if style == 'w-test' else 'training'}: observed {days[0]}, window to {days[1]}, truth read {days[2]}"
    )
    marks: list[Mark] = [Box(start, top, end - start, height, style, says)]
    if matured > end:
        marks.append(Box(end, top, matured - end, height, "w-mature", says))
    return [*marks, Dot(start, middle, "observed", "diamond", says)]


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _calendar(first: date, last: date) -> Axis:
    room = max((last - first).days // 40, 2)
    low, high = first.toordinal() - room, last.toordinal() + room
    months = [date(y, m, 1) for y in range(first.year, last.year + 2) for m in range(1, 13)]
    inside = [day for day in months if low <= day.toordinal() <= high]
    every = next(n for n in (1, 2, 3, 4, 6, 12, 24, 48, 1200) if len(inside) <= 6 * n)
    kept = [d for d in inside if (d.year * 12 + d.month - 1) % every == 0]
    return Axis(
        low, high, "", [(d.toordinal(), d.strftime("%Y") if every >= 12 else d.strftime("%b %y")) for d in kept]
    )


def exclusions(r: Reading) -> list[Block]:
    rows = r.traced("exclusions")
    total = sum(row["rows"] for row in rows)
    table = Table(
        f"{plural(total, 'row')} left out" if total else "Nobody was left out",
        "Look for a reason that grew since the last training: what is left out is not judged here.",
        ("why", "rows"),
        [(str(row["why"]), count(row["rows"])) for row in rows],
    )
    return [table]


def indeterminates(r: Reading) -> list[Block]:
    test = r.found("test")
    if "indeterminate" not in test:
        raise Absent("evaluation.json of this model does not hold test.indeterminate")
    rows = test["rows"]
    seen, unseen = test["seen_rows"], test["unseen_rows"]
    drawn = f", drawn from {count(test['drawn_from'])}" if test.get("drawn_from", rows) > rows else ""
    text = (
        f"Of the test, {plural(test['indeterminate'], 'row')} had no outcome by maturity (closed with open claims) and"
        f" {plural(test['left'], 'seller')} left within the window; both are counted here and not among the {count(rows)}"
        f" rows of the figures{drawn}. {count(seen)} of those are of sellers also seen in training, {count(unseen)} of new"
        " ones."
    )
    return [Text(text)]


def data_checks(r: Reading) -> list[Block]:
    return [
        _checks(r.found("checks.data"), "data check", "Look for anything not passed, and at the numbers next to it.")
    ]


def leakage_checks(r: Reading) -> list[Block]:
    caption = (
        "Each check breaks a leak on purpose and looks whether the figures notice; the number must stay on the right side of"
        " its threshold."
    )
    return [_checks(r.found("checks.leakage"), "leakage check", caption)]


def _checks(rows: list[Json], what: str, caption: str) -> Table:
    failed = [str(row["check"]) for row in rows if not row["ok"]]
    title = f"Failed: {listed(failed)}" if failed else f"All {plural(len(rows), what)} passed"
    limits = any("threshold" in row for row in rows)
    cells: list[list[Cell]] = []
    for row in rows:
        chip = Chip("good", "passed") if row["ok"] else Chip("bad", "failed")
        found: list[Cell] = [str(row["check"]), chip, general(row["number"])]
        cells.append([*found, *([general(row.get("threshold"))] if limits else []), str(row["text"])])
    return Table(
        title, caption, ("check", "result", "number", *(["threshold"] if limits else []), "what it says"), cells
    )


def labels(r: Reading) -> list[Block]:
    """List the delay of decisions, the number still open, and the correction of labels for them."""
    found = r.found("labels")
    delay = found["decision_delay"]
    days = [(key, name) for key, name in (
        ("median_days", "median delay of a decision"),
        ("p95_days", "95 % are decided after"),
        ("p95_closed_only_days", "the same from closed cases alone, which flatters"),
    )]  # fmt: skip
    rows = [(name, "not reached yet" if delay[key] is None else plural(round(delay[key]), "day")) for key, name in days]
    rows.append(("cases still open", count(delay["open"])))
    if development := found.get("development"):
        factor = development["factor"]
        rows.append(
            (
                "development to the ultimate level",
                f"× {number(factor)} on the odds: sellers whose badness is still to be confirmed after maturity; p_bad as"
                " served is raised by it, the predictions on this page are those of the maturity, as the labels are",
            )
        )
    if "matured_windows" in found:
        rows.append(("windows that are mature", count(found["matured_windows"])))
    return [Facts(rows), *_triangle(found.get("development") or {})]


def _triangle(development: Json) -> list[Block]:
    triangle = development.get("triangle") or []
    if not triangle or not all(isinstance(row, list) for row in triangle):
        return []
    wide = max(len(row) for row in triangle)
    rows: list[list[Cell]] = []
    for k, row in enumerate(triangle):
        rows.append([f"period {k + 1}", *[count(v) for v in row], *[Num("")] * (wide - len(row))])
    head = ["period", *[f"age {k + 1}" for k in range(wide)]]
    caption = "Bad sellers known of each period at each age: a row that still grows is not mature."
    return [Table("Development triangle", caption, head, rows, fold="Show the development triangle")]


def looks(r: Reading) -> list[Block]:
    """Tabulate every earlier look at the test window. Raises Absent if looks are not recorded."""
    rows = r.evaluation.get("looks")
    if rows is None:
        raise Absent("evaluation.json of this model does not hold looks")
    title = (
        f"The test window was looked at {plural(len(rows), 'time')}"
        if rows
        else "Nobody looked at the test window before"
    )
    caption = (
        "Every look spends some of a test's independence: many looks with changing studies make its figures too good."
    )
    cells = [(str(x["window"]), str(x["time"]), str(x["study_digest"])[:12], str(x["why"])) for x in rows]
    return [Table(title, caption, ("window", "time", "study", "why"), cells)] if rows else [Text(title + ".")]
