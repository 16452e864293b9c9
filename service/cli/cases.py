from service.cli.common import open_client
from service.cli.options import Limit, Marketplace
from service.cli.output import Format, Output, cut_to_limit, emit, format_count, say
from service.cli.rows import row_of

FIELDS = "case seller rule opened=open_time decide_by=decide_by_time overdue caution_ends=caution_end_time entries"
MAX_ENTRIES = 5


def list_cases(limit: Limit = 100, marketplace: Marketplace = None, output: Output = Format.TABLE) -> None:
    """List the undecided cases, earliest deadline first.

    `ledger append case` decides one: case=NAME state=ended or extended, or state=confirmed violations="ID ID" if it came
    to confirmed violations.
    """
    with open_client(marketplace) as (connection, market):
        response = connection.list_cases(market)
    rows = [row_of(case, FIELDS) for case in cut_to_limit(limit, response.cases)]
    for row in rows:
        more = len(row["entries"]) - MAX_ENTRIES
        row["entries"] = " ".join(row["entries"][:MAX_ENTRIES]) + (f" and {more} more" if more > 0 else "")
    emit(rows, output)
    if response.open_cases:
        say(f"{format_count(response.open_cases, 'case')} open, {response.overdue_cases:,} overdue")
