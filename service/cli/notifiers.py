from typing import Annotated, Any

import typer

from sellertrust.v1.review_service_pb2 import Notifier
from service.cli.common import open_client
from service.cli.options import KnownTime, Limit, Marketplace, ObserveTime
from service.cli.output import Column, Format, Output, cut_to_limit, emit, emit_one
from service.cli.rows import row_of

FIELDS = (
    "notifier=name source reports upheld overturned dismissed withdrawn open authority_reports reliability"
    " low=reliability_low high=reliability_high prior=prior_reliability"
)
COLUMNS = (
    *(Column("notifier"), Column("source"), Column("reports"), Column("upheld"), Column("open")),
    Column("reliability", ("reliability", "low", "high"), "{:.2f} ({:.2f}-{:.2f})".format),
)


def show_notifiers(
    notifier: Annotated[str, typer.Argument(metavar="NOTIFIER", help="Id of one; default: list all.")] = "",
    limit: Limit = 100,
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show who reports violations, and how reliable they are.

    They are in the order of their ids, with the outcomes of their reports.
    """
    times: dict[str, Any] = {"observe_time": observe_time, "known_time": known_time}
    with open_client(marketplace) as (connection, market):
        if notifier:
            emit_one(_make_row(connection.get_notifier(market, notifier, **times)), output)
            return
        notifiers = connection.list_notifiers(market, page_size=min(limit + 1, 1000), **times)
        rows = [_make_row(listed) for listed in cut_to_limit(limit, notifiers)]
    emit(rows, output, COLUMNS)


def _make_row(notifier: Notifier) -> dict[str, Any]:
    row = row_of(notifier, FIELDS)
    shares = [*row][-4:]
    return row | {name: round(row[name], 3) if row["reliability"] is not None else None for name in shares}
