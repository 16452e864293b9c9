from pathlib import Path
from typing import Annotated

import typer

from service.cli.common import open_client
from service.cli.options import Marketplace, require_folder_of
from service.cli.output import say, write


def report(
    period: Annotated[str, typer.Argument(metavar="PERIOD", help="A year such as 2026, or a month such as 2026-03.")],
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            callback=require_folder_of,
            help="Write the page into this file, instead of figures.",
        ),
    ] = None,
    language: Annotated[str, typer.Option("--language", help="The page's language: en or zh.")] = "en",
    marketplace: Marketplace = None,
) -> None:
    """Write the public report of a month or a year: as CSV to stdout, or as a page.

    Numbers from 1 to 4 are hidden, also from differences. The page needs the extra web.
    """
    from service.web.languages import match_language
    from service.web.public.report import write_csv, write_html

    with open_client(marketplace) as (connection, market):
        response = connection.get_transparency_report(market, period)
    if html is None:
        write(write_csv(response))
        return
    html.write_text(write_html(response, market, match_language(language) or "en", alone=True), encoding="utf-8")
    say(f"wrote {html}")
