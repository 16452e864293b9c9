"""The data: its origin, definitions, observation points and checks."""

from datetime import date, timedelta
from typing import Any

from training.report.numbers import count, listed, number, plural, significant
from training.report.parts import Block, Cell, Chip, Facts, Table, Text
from training.report.reading import Reading

Json = Any
LINEAGE = {
    "study": "study",
    "study_digest": "study digest",
    "ledger_as_of": "ledger as of",
    "ledger_digest": "ledger digest",
    "ledger_entries": "entries of the ledger",
    "rounds": "boosting rounds",
    "seed": "seed",
    "calibration": "calibration",
}


def lineage(r: Reading) -> list[Block]:
    """List the model's origin: study, ledger, parameters, versions."""
    rows = [(name, str(r.lineage[key])) for key, name in LINEAGE.items()]
    stated, versions = (
        ", ".join(f"{key} {value}" for key, value in r.lineage[part].items()) for part in ("parameters", "versions")
    )
    rows.append(("parameters set by the study", stated or "none: the defaults of the release"))
    return [Facts([*rows, ("scoring core", str(r.manifest["core_version"])), ("libraries", versions)], code=True)]


def definitions(r: Reading) -> list[Block]:
    """List what bad is, the window, and who is eligible."""
    d = r.lineage["definition"]
    asks = [*([f"at least {d['bad_at_least']}"] if d["bad_at_least"] != 1 else []), *d["bad_asks"]]
    reference = d["reference_exposure"]
    rows = [
        ("bad", "; or ".join(d["bad"]) + (f" ({', and '.join(asks)})" if asks else "")),
        (
            "reference exposure",
            "none: bad counts over the window, whatever the seller sells"
            if reference is None
            else f"{count(reference)} settled orders: p_bad is the chance of bad over so many",
        ),
        ("performance window", str(d["window"])),
        ("maturity", f"{plural(d['maturity_days'], 'day')} after the window before truth is read"),
        ("eligible sellers", "; ".join(d["eligible"])),
    ]
    if d["weigh_by"] == "orders":
        rows.append(("weights", "by settled orders in the window: an order counts as much as any other"))
    if slope := r.lineage["exposure_slope"]:
        rows.append(("slope of exposure", f"{slope}; beside a seller's own orders alone, never in an answer"))
    return [Facts(rows)]


def windows(r: Reading) -> list[Block]:
    """Tabulate when sellers were observed, and when the truth about them was read."""
    maturity, points = timedelta(r.lineage["definition"]["maturity_days"]), [*r.lineage["train"], *r.lineage["test"]]
    ends = [date.fromisoformat(point["window_end"]) for point in points]
    split = len(r.lineage["train"])
    rows: list[list[Cell]] = [
        [point["observe"], "train" if k < split else "test", str(end), str(end + maturity)]
        for k, (point, end) in enumerate(zip(points, ends, strict=True))
    ]
    gap = (date.fromisoformat(points[split]["observe"]) - ends[split - 1]).days
    title = f"The last training window ends {plural(gap, 'day')} before the test"
    caption = (
        "Features from what was known at the observation, the outcome from the window, read after the maturity. The ledger"
        f" ends on {r.lineage['ledger_as_of']}."
    )
    return [Table(title, caption, ("observed", "for", "window until", "truth read"), rows)]


def exclusions(r: Reading) -> list[Block]:
    rows, test = r.lineage["exclusions"], r.evaluation["test"]
    total = sum(row["rows"] for row in rows)
    table = Table(
        f"{plural(total, 'row')} left out" if total else "Nobody was left out",
        "Look for a reason that grew since the last training: what is left out is not judged here.",
        ("why", "rows"),
        [(str(row["why"]), count(row["rows"])) for row in rows],
    )
    drawn = f", drawn from {count(test['drawn_from'])}" if test["drawn_from"] > test["rows"] else ""
    text = (
        f"Of the test, {plural(test['indeterminate'], 'row')} had no outcome by maturity (closed with open claims) and"
        f" {plural(test['left'], 'seller')} left within the window; both are counted here and not among the"
        f" {count(test['rows'])} rows of the figures{drawn}. {count(test['seen_rows'])} of those are of sellers also seen in"
        f" training, {count(test['unseen_rows'])} of new ones."
    )
    return [table, Text(text)]


def data_checks(r: Reading) -> list[Block]:
    caption = "Look for anything not passed, and at the numbers next to it."
    return [_checks(r.evaluation["checks"]["data"], "data check", caption)]


def leakage_checks(r: Reading) -> list[Block]:
    caption = (
        "Each check breaks a leak on purpose and looks whether the figures notice; the number must stay on the right side of"
        " its threshold."
    )
    return [_checks(r.evaluation["checks"]["leakage"], "leakage check", caption)]


def _checks(rows: list[Json], what: str, caption: str) -> Table:
    failed = [str(row["check"]) for row in rows if not row["ok"]]
    title = f"Failed: {listed(failed)}" if failed else f"All {plural(len(rows), what)} passed"
    cells: list[list[Cell]] = []
    for row in rows:
        chip = Chip("good", "passed") if row["ok"] else Chip("bad", "failed")
        figures = [significant(row["number"]), significant(row.get("threshold"))]
        cells.append([str(row["check"]), chip, *figures, str(row["text"])])
    return Table(title, caption, ("check", "result", "number", "threshold", "what it says"), cells)


DELAYS = {
    "median_days": "median delay of a decision",
    "p95_days": "95 % are decided after",
}


def labels(r: Reading) -> list[Block]:
    """List the delay of decisions, the number still open, and the correction of labels for them."""
    delay, factor = (r.evaluation["labels"][part] for part in ("decision_delay", "development"))
    rows = [
        (name, "not reached yet" if delay[key] is None else plural(round(delay[key]), "day"))
        for key, name in DELAYS.items()
    ]
    rows.append(("cases still open", count(delay["open"])))
    rows.append(
        (
            "development to the ultimate level",
            f"× {number(factor['factor'])} on the odds, for sellers that are found bad after the maturity. It raises p_bad as"
            " served. Predictions on this page are for the maturity, like the labels",
        )
    )
    return [Facts(rows)]


def looks(r: Reading) -> list[Block]:
    """Tabulate earlier looks at the test window."""
    rows = r.evaluation["looks"]
    if not rows:
        return [Text("The test window was never looked at before.")]
    caption = (
        "Every look spends some of a test's independence: many looks with changing studies make its figures too good."
    )
    cells = [(str(x["window"]), str(x["time"]), str(x["study_digest"])[:12], str(x["why"])) for x in rows]
    title = f"The test window was looked at {plural(len(rows), 'time')}"
    return [Table(title, caption, ("window", "time", "study", "why"), cells)]
