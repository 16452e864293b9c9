from pathlib import Path
from typing import Annotated

import typer

_MOST = 1_000_000

Marketplace = Annotated[
    str | None, typer.Option("--marketplace", "-m", help="Marketplace; default: SELLERTRUST_MARKETPLACE.")
]
ObserveTime = Annotated[
    str | None, typer.Option("--observe-time", metavar="T", help="Answer as of then: a time (RFC 3339) or a date.")
]
KnownTime = Annotated[
    str | None, typer.Option("--known-time", metavar="T", help="With the knowledge of then: a time or a date.")
]
LedgerServer = Annotated[
    str | None, typer.Option("--server", metavar="ADDRESS", help="Ask this server; default: read the files here.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=_MOST, help="Show at most so many.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show every column in the table.")]

Seller = Annotated[str, typer.Argument(metavar="SELLER", help="Id of the seller.")]
OfSeller = Annotated[str | None, typer.Option("--seller", help="Only this seller's.")]
OfStatus = Annotated[list[str] | None, typer.Option("--status", help="Only of these statuses.")]

Actor = Annotated[str, typer.Option("--actor", help="The deciding person's id: a pseudonym or a role.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why, in 1 to 500 characters. The record keeps it; a seller sees its own.")
]
Ground = Annotated[str, typer.Option("--ground", help="The legal or policy ground, such as an article.")]
EntryId = Annotated[str | None, typer.Option("--entry-id", help="Makes a retry of this very command safe.")]
Propose = Annotated[
    bool, typer.Option("--propose", help="Propose it for another person to approve, and do nothing else.")
]

Model = Annotated[str, typer.Argument(metavar="MODEL", help="An alias, or the beginning of a digest.")]
Operator = Annotated[str, typer.Option("--actor", help="Who decides; default: the user of this machine.")]
PolicyFile = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="A policy file; default: SELLERTRUST_POLICY, else the shipped one."),
]
ReadyFile = Annotated[
    Path | None, typer.Option("--ready-file", help="Write the address there once requests are answered.")
]
