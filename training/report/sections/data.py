"""The data: observation points, exclusions, checks and looks."""

from datetime import date, timedelta

from training.report.parts import Blocks, Chip, Json, Reading, Row, Table, Text, count, listed, plural, significant


def windows(r: Reading) -> Blocks:
    """Tabulate when sellers were observed, and when the truth about them was read."""
    maturity, points = timedelta(r.lineage["definition"]["maturity_days"]), [*r.lineage["train"], *r.lineage["test"]]
    ends = [date.fromisoformat(point["window_end"]) for point in points]
    split = len(r.lineage["train"])
    rows: list[Row] = [
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


def exclusions(r: Reading) -> Blocks:
    """Tabulate how many rows were left out, by reason, with a sentence on the test's."""
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


def data_checks(r: Reading) -> Blocks:
    caption = "Look for anything not passed, and at the numbers next to it."
    return [_tabulate_checks(r.evaluation["checks"]["data"], "data check", caption)]


def leakage_checks(r: Reading) -> Blocks:
    caption = (
        "Each check looks where a leak would show, such as at sellers without a record; the number must stay on the right"
        " side of its threshold."
    )
    return [_tabulate_checks(r.evaluation["checks"]["leakage"], "leakage check", caption)]


def _tabulate_checks(rows: list[Json], what: str, caption: str) -> Table:
    failed = [str(row["check"]) for row in rows if not row["ok"]]
    title = f"Failed: {listed(failed)}" if failed else f"All {plural(len(rows), what)} passed"
    cells: list[Row] = []
    for row in rows:
        chip = Chip("good", "passed") if row["ok"] else Chip("bad", "failed")
        figures = [significant(row["number"]), significant(row.get("threshold"))]
        cells.append([str(row["check"]), chip, *figures, str(row["text"])])
    return Table(title, caption, ("check", "result", "number", "threshold", "what it says"), cells)


def looks(r: Reading) -> Blocks:
    rows = r.evaluation["looks"]
    if not rows:
        return [Text("The test window was never looked at before.")]
    caption = (
        "Every look spends some of a test's independence: many looks with changing studies make its figures too good."
    )
    cells = [
        (str(look["window"]), str(look["time"]), str(look["study_digest"])[:12], str(look["why"])) for look in rows
    ]
    title = f"The test window was looked at {plural(len(rows), 'time')}"
    return [Table(title, caption, ("window", "time", "study", "why"), cells)]
