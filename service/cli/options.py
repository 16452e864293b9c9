"""The options that several commands share. Their callbacks refuse a wrong value before a command begins."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from scoring.base.errors import invalid
from scoring.base.time import MAX_TIME, parse_time
from scoring.entries.field_types import ID_FORM, is_id

MAX_LIMIT = 1_000_000


def require_id(parameter: typer.CallbackParam, value: Any) -> Any:
    """Refuse an id, or one of several, that is no id; return the value."""
    for text in value if isinstance(value, list) else [value]:
        if text is not None and not is_id(text):
            raise invalid(_name_parameter(parameter), f"must be {ID_FORM}, and is {text!r}")
    return value


def require_folder_of(parameter: typer.CallbackParam, file: Path | None) -> Path | None:
    """Refuse a file to write if its folder is missing, or if it is a folder itself."""
    if file is not None and not file.parent.is_dir():
        raise invalid(_name_parameter(parameter), f"{file} cannot be written: there is no folder {file.parent}")
    if file is not None and file.is_dir():
        raise invalid(_name_parameter(parameter), f"{file} is a folder; name a file in it")
    return file


def require_place(parameter: typer.CallbackParam, target: str) -> str:
    """Refuse a file to write if its folder is missing; a URL, or a folder to make, is any other name."""
    if target.endswith(".parquet"):
        require_folder_of(parameter, Path(target))
    return target


def time_option(name: str, help: str) -> Any:  # noqa: A002 as Typer calls it
    """Return an option whose value is a time in UTC.

    A date alone is its first moment. The command ends with InvalidInput for another text, or outside 1970 to 9999.
    """

    def parse(text: str) -> datetime:
        try:
            microseconds = parse_time(text)
        except ValueError as error:
            raise invalid(name, str(error)) from None
        if not 0 <= microseconds <= MAX_TIME:
            raise invalid(name, "must lie between 1970 and 9999")
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)

    return typer.Option(name, metavar="T", help=help, parser=parse)


def _name_parameter(parameter: typer.CallbackParam) -> str:
    name = parameter.opts[0]
    return name if name.startswith("--") else name.upper()


Marketplace = Annotated[
    str | None,
    typer.Option("--marketplace", "-m", callback=require_id, help="Marketplace; default: SELLERTRUST_MARKETPLACE."),
]
OneMarketplace = Annotated[
    str | None,
    typer.Option("--marketplace", "-m", callback=require_id, help="Only this marketplace; default: all of them."),
]
ObserveTime = Annotated[
    datetime | None, time_option("--observe-time", "Answer as of then: a time (RFC 3339) or a date.")
]
KnownTime = Annotated[datetime | None, time_option("--known-time", "With the knowledge of then: a time or a date.")]
Server = Annotated[
    str | None, typer.Option("--server", metavar="ADDRESS", help="Ask this server; default: read the files here.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MAX_LIMIT, help="Show at most so many.")]

Seller = Annotated[str, typer.Argument(metavar="SELLER", callback=require_id, help="Id of the seller.")]
OfSeller = Annotated[str | None, typer.Option("--seller", callback=require_id, help="Only this seller's.")]
OfStatus = Annotated[list[str] | None, typer.Option("--status", help="Only of these statuses; may be repeated.")]
OfNotifier = Annotated[str, typer.Option("--notifier", help="Only those that this notifier reported.")]
Violation = Annotated[
    str, typer.Argument(metavar="VIOLATION", callback=require_id, help="Its id: the entry_id of its report.")
]

Language = Annotated[str, typer.Option("--language", help="Language of the sentences: en or zh.")]
PublicKey = typer.Option("--public-key", help="Who signed it, in hex.")
Moves = Annotated[bool, typer.Option("--history", help="List every move instead, oldest first: who, when, why.")]

Actor = Annotated[
    str, typer.Option("--actor", callback=require_id, help="The deciding person's id: a pseudonym or a role.")
]
Operator = Annotated[str, typer.Option("--actor", help="Who decides; default: the user of this machine.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why, in 1 to 500 characters. The record keeps it; a seller sees its own.")
]
Ground = Annotated[str, typer.Option("--ground", help="The legal or policy ground, such as an article.")]
EntryId = Annotated[str | None, typer.Option("--entry-id", help="Makes a retry of this very command safe.")]
Propose = Annotated[
    bool, typer.Option("--propose", help="Propose it for another person to approve, and do nothing else.")
]

Model = Annotated[
    str, typer.Argument(metavar="MODEL", callback=require_id, help="An alias, or the beginning of a digest.")
]
OfModel = Annotated[
    str, typer.Option("--model", metavar="MODEL", callback=require_id, help="An alias, or the beginning of a digest.")
]
AgainstModel = Annotated[
    str | None,
    typer.Option("--against", metavar="MODEL", callback=require_id, help="Compare with this model, side by side."),
]
OfPolicy = Annotated[
    str, typer.Option("--policy", metavar="POLICY", help="A file, or the beginning of a committed one's digest.")
]
DAYS = ("today", "tomorrow")


def require_day(day: str) -> str:
    if day not in DAYS:
        raise invalid("--day", f"must be {' or '.join(DAYS)}")
    return day


Day = Annotated[str, typer.Option("--day", metavar="DAY", callback=require_day, help="today or tomorrow, in UTC.")]
Scale = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="PLACE", help="Folder or URL of exported entries and runs; default: in the data folder."
    ),
]
Study = typer.Option(
    "--study", metavar="FILE", dir_okay=False, help="The study that states the window, what is bad, and when to alert."
)
Export = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="FILE",
        exists=True,
        help="Read this export, a file or a folder, instead of the ledger as it is now.",
    ),
]

Policy = Annotated[Path, typer.Argument(metavar="POLICY", exists=True, dir_okay=False, help="The policy file.")]
PolicyOrDefault = Annotated[
    Path | None,
    typer.Argument(
        metavar="POLICY",
        exists=True,
        dir_okay=False,
        help="A policy file; default: SELLERTRUST_POLICY, else the shipped one.",
    ),
]
AgainstPolicy = Annotated[
    Path | None,
    typer.Option("--against", metavar="POLICY", exists=True, dir_okay=False, help="The policy file to compare with."),
]
Assumptions = typer.Option(
    "--assumptions", metavar="FILE", exists=True, dir_okay=False, help="The file of what a certificate assumes."
)
OlderPolicies = Annotated[
    list[Path] | None,
    typer.Option(
        "--after",
        metavar="POLICY",
        exists=True,
        dir_okay=False,
        help="A policy under which a run may have begun; repeat it, the oldest first.",
    ),
]
Expected = Annotated[
    str | None,
    typer.Option("--expected", metavar="DIGEST", help="Refuse unless this policy is served; default: the one that is."),
]

NewFile = Annotated[Path, typer.Argument(metavar="FILE", callback=require_folder_of, help="The file to write.")]
Rejects = Annotated[
    Path | None,
    typer.Option("--rejects", metavar="FILE", callback=require_folder_of, help="Where rejected rows or messages go."),
]
ReadyFile = Annotated[
    Path | None, typer.Option("--ready-file", help="Write the address there once requests are answered.")
]
