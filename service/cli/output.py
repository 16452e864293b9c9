"""Output: data on stdout as a table or JSON, the rest on stderr; exit codes."""

import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum, StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TextIO, TypeVar

import typer

from scoring.base.errors import (
    ArtifactRefused,
    ConfigurationWrong,
    LedgerVersionUnknown,
    PolicyRefused,
    ProcessEnded,
    SellertrustError,
    SourceUnavailable,
)

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")


class Exit(IntEnum):
    OK = 0
    UNFORESEEN = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNAVAILABLE = 5
    CONFIGURATION = 6


INTERRUPTED = 130
"""The exit code after Ctrl-C, as in shells."""

EXIT_CODES: dict[int, tuple[str, str]] = {
    Exit.OK: ("done", ""),
    Exit.UNFORESEEN: ("a defect", "an error that nobody foresaw; please report it"),
    Exit.USAGE: (
        "wrong input",
        "an option, entry or mapping; a file that an argument names and that is missing or a folder",
    ),
    Exit.NOT_FOUND: ("not found", "no such seller, violation, case, notifier, proposal, model or policy"),
    Exit.REFUSED: (
        "refused",
        "the ledger's state forbids it; a check, a case or a gate failed; rows were rejected; the caller lacks the right",
    ),
    Exit.UNAVAILABLE: ("unavailable", "no server or database answers in time, or a limit is reached; try again"),
    Exit.CONFIGURATION: (
        "unusable configuration",
        "a setting, the database, a missing package, or the content of a study, policy or model",
    ),
    INTERRUPTED: ("interrupted", "Ctrl-C; what was acknowledged is kept"),
}

NEXT_OF = {
    "SELLER_NOT_FOUND": "list what a marketplace has: sellertrust ledger list --marketplace NAME",
    "VIOLATION_NOT_FOUND": "list the violations: sellertrust violation list",
    "ENTRY_NOT_FOUND": "list the entries: sellertrust ledger list",
    "NOTIFIER_NOT_FOUND": "list the notifiers: sellertrust notifier",
    "CASE_NOT_FOUND": "list the open cases: sellertrust case list",
    "PROPOSAL_NOT_FOUND": "list the proposals: sellertrust proposal show",
    "MODEL_NOT_FOUND": "list the models: sellertrust model list",
    "POLICY_NOT_FOUND": "list the policies that were served: sellertrust policy show --history",
    "POLICY_MOVED": "look at the policy that is served: sellertrust policy show",
    "APPROVAL_REQUIRED": "propose it: the same command with --propose",
    "LEDGER_UNAVAILABLE": "the server answers, its database does not; look where the server runs: sellertrust doctor",
    "CALLER_UNAUTHENTICATED": "set SELLERTRUST_TARGET_CREDENTIALS to a folder with tls.crt and tls.key, or a token",
    "CALLER_NOT_GRANTED": "see what the server's grants file gives to a caller: sellertrust access --principal NAME",
    "TOO_MANY_CALLS": "wait and send it again; what one caller may do is in the server's grants file, under [[limits]]",
    "AUDIT_UNAVAILABLE": "ask the server's operator to make audit.jsonl in its data folder writable, and send it again",
    "OCCUR_TIME_AHEAD": "send it again in some seconds; the clock behind the stated time runs fast",
}
"""The next command by the reason of an error."""

WAITS = "kept, without effect until the report is on record"


class ResumeHintShown(SystemExit):
    """The end of an interrupted command that has shown how to resume."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


Output = Annotated[Format, typer.Option("--output", "-o", help="Form of the data on stdout.")]

FOLDED_WIDTH = 24
GAP = 2

_EXIT_CODES_BY_STATUS = {  # by name, so that commands without a server do not load gRPC
    "INVALID_ARGUMENT": Exit.USAGE,
    "NOT_FOUND": Exit.NOT_FOUND,
    "ALREADY_EXISTS": Exit.REFUSED,
    "FAILED_PRECONDITION": Exit.REFUSED,
    "UNAUTHENTICATED": Exit.REFUSED,
    "PERMISSION_DENIED": Exit.REFUSED,
    "UNAVAILABLE": Exit.UNAVAILABLE,
    "DEADLINE_EXCEEDED": Exit.UNAVAILABLE,
    "RESOURCE_EXHAUSTED": Exit.UNAVAILABLE,
}


_CONFIGURATION_ERRORS = (ConfigurationWrong, ArtifactRefused, PolicyRefused, LedgerVersionUnknown)


def exit_code(error: Exception) -> Exit:
    """Return an error's exit code.

    Its gRPC status decides. For an error without a call, a server's status for that error decides: NOT_FOUND is 3.
    """
    status = getattr(getattr(error, "code", None), "name", None)
    if status is not None:
        return _EXIT_CODES_BY_STATUS.get(status, Exit.UNFORESEEN)
    if not isinstance(error, SellertrustError):
        return Exit.UNFORESEEN
    if isinstance(error, _CONFIGURATION_ERRORS):
        return Exit.CONFIGURATION
    if isinstance(error, ProcessEnded | SourceUnavailable):
        return Exit.UNAVAILABLE
    from google.rpc import code_pb2

    from service.contract.statuses import code_of

    return _EXIT_CODES_BY_STATUS.get(code_pb2.Code.Name(code_of(error)), Exit.REFUSED)


EXTRAS = {
    "training": {"polars", "threadpoolctl"},
    "postgres": {"psycopg"},
    "brokers": {"confluent_kafka"},
    "web": {"jinja2", "starlette", "uvicorn"},
    "spark": {"pandas", "pyarrow", "pyspark"},
    "otel": {"opentelemetry"},
}
"""Packages, as they are imported, by the extra that installs them."""


def missing_package(error: ModuleNotFoundError) -> str:
    """Return what to install for a failed import: the extra that has the package, if one has."""
    package = (error.name or "").partition(".")[0]
    extra = next((f"[{name}]" for name, packages in EXTRAS.items() if package in packages), "")
    return f"this needs the package {package}; install it: pip install 'sellertrust{extra}'"


def say(text: str) -> None:
    """Write a line for a person to stderr."""
    sys.stderr.write(text + "\n")


def format_count(count: int, noun: str) -> str:
    """Format a count with its noun: `1 entry`, `2 entries`, `2 days`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} " + (f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s")


def cut_to_limit(limit: int, rows: Iterable[T]) -> list[T]:
    """Return the first `limit` rows; say on stderr if there are more. Reads one row beyond the limit."""
    first_rows = list(islice(rows, limit + 1))
    if len(first_rows) > limit:
        say(f"there are more than {limit:,}; show more with --limit")
    return first_rows[:limit]


def write(text: str) -> None:
    """Write data to stdout and flush. Exits with 0 if the reader has left (`| head`)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.OK) from None


def wrap_line(text: str, stream: TextIO | None = None) -> str:
    """Return a line with its end, wrapped between words if `stream` (default: stdout) is a terminal."""
    stream = stream or sys.stdout
    if not stream.isatty():
        return text + "\n"
    width = shutil.get_terminal_size().columns
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    wrapped = textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapped) + "\n"


class Column(NamedTuple):
    heading: str
    fields: tuple[str, ...] = ()
    """By default the field named like the heading. If one is None, the cell is empty."""
    text: Callable[..., str] | None = None

    def cell(self, row: Mapping[str, Any]) -> Any:
        """Return the row's value for this column; None if one of its fields is absent or None."""
        values = [row.get(name) for name in self.field_names]
        if None in values:
            return None
        return values[0] if self.text is None else self.text(*values)

    @property
    def field_names(self) -> tuple[str, ...]:
        return self.fields or (self.heading,)


def emit(
    rows: Sequence[Mapping[str, Any]],
    output: Format,
    columns: Sequence[Column] = (),
) -> None:
    """Write rows to stdout as a table, or as a JSON list of objects.

    A table shows `columns`, or all fields if there are none. A terminal shows those that fit. Stderr names all
    fields not shown. An empty table is `nothing found`, on stderr.
    """
    if output is Format.JSON:
        write(json.dumps(list(rows), ensure_ascii=False, indent=2) + "\n")
        return
    if not rows:
        say("nothing found")
        return
    from rich.table import Table

    fields = list(dict.fromkeys(name for row in rows for name in row))
    wanted = [*columns] or [Column(name) for name in fields]
    columns_shown = wanted[: _count_fitting_columns(wanted, rows)]
    cells = [[column.cell(row) for row in rows] for column in columns_shown]
    table = Table(box=None, pad_edge=False)
    for column, values in zip(columns_shown, cells, strict=True):
        numeric = all(isinstance(value, int | float) or value is None for value in values)
        table.add_column(column.heading, justify="right" if numeric else "left", overflow="fold")
    for row in zip(*cells, strict=True):
        table.add_row(*map(_format_cell, row))
    print_table(table)
    if hidden := [name for name in fields if not any(name in column.field_names for column in columns_shown)]:
        say(wrap_line(f"not shown: {', '.join(hidden)}; show them with -o json", sys.stderr).rstrip("\n"))


def _format_cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _count_fitting_columns(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> int:
    available, width = terminal_width(), 0
    for number, column in enumerate(columns):
        longest = max(len(_format_cell(value)) for value in (column.heading, *map(column.cell, rows)))
        width += min(longest, max(FOLDED_WIDTH, len(column.heading))) + GAP * bool(number)
        if width > available:
            return max(number, 1)
    return len(columns)


def terminal_width() -> int:
    """Return the width of stdout; 400 in a pipe, so that each row is one line."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 400


def print_table(table: "Table") -> None:
    """Write a table to stdout as wide as the terminal, without blanks at the ends of lines."""
    from rich.console import Console

    file, is_terminal = (None, None) if sys.stdout.isatty() else (io.StringIO(), False)
    # Callers' texts are shown unchanged: `[/x]` and `:x:` are no styles or pictures.
    text = Console(width=terminal_width(), file=file, force_terminal=is_terminal, markup=False, emoji=False)
    with text.capture() as captured:
        text.print(table)
    write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


def emit_one(row: Mapping[str, Any], output: Format) -> None:
    """Write one row to stdout: a line for each field, or a JSON object."""
    if output is Format.JSON:
        write(json.dumps(row, ensure_ascii=False, indent=2) + "\n")
        return
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    for name, value in row.items():
        is_long = isinstance(value, list | tuple) and any(" " in str(item) for item in value)
        text = ("\n" if is_long else ", ").join(map(str, value)) if isinstance(value, list | tuple) else value
        grid.add_row(name, "" if text is None else str(text))
    print_table(grid)
