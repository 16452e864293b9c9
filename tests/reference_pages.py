"""The generated pages of `docs/reference`: commands, settings, contract, rights, errors and the tables of the core."""

import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import typer.main

from scoring.base.enums import Action, Category, Harm, Status
from scoring.entries.field_types import FactField, list_names
from scoring.entries.kinds.table import BY_COMMAND, KINDS
from scoring.entries.lifecycle import COUNTING_STATUSES, OPEN_STATUSES, RETRACTED_STATUSES, TRANSITIONS
from scoring.entries.violation_types import TABLES
from scoring.features.table import FEATURES
from scoring.scores.reasons import REASON_CODES
from service.access.rights import BOUND, METHODS, RIGHT_OF_KIND, Right
from service.cli.app import app
from service.cli.lazy import COMMANDS, load_command
from service.cli.output import EXIT_CODES
from service.ledger.queries.sellers import ORDER_DAYS
from service.review.priority import HARM_WEIGHTS
from service.review.reliability import AGAINST, PRIORS, NotifierPrior
from service.setting_forms import PREFIX
from service.settings import Settings, describe, load
from tests import openapi

PROTO = Path(__file__).parents[1] / "proto" / "sellertrust" / "v1"

WHERE = {
    "server": [
        "score",
        "measures",
        "payouts",
        "audit plan",
        "audit estimate",
        "simulate",
        "path",
        "replay",
        "statements",
        "badge",
        "case",
        "violation",
        "network show",
        "network export",
        "notifier",
        "report",
        "proposal",
        "policy commit",
        "policy rollback",
        "policy show",
        "ledger append",
        "ledger list",
        "access --audit",
    ],
    "database": [
        "rescore",
        "policy preview",
        "ledger export",
        "ledger outcomes",
        "ledger backup",
        "ledger checkpoint",
        "verify ledger",
        "verify audit",
        "train",
        "model monitor",
    ],
    "database alone": [
        "ledger import",
        "ledger feed",
        "ledger erase",
        "ledger mend-clock",
        "ledger restore",
        "ledger upgrade",
        "serve",
    ],
    "files": [
        "access",
        "network digest",
        "verify FILE",
        "model",
        "policy",
        "doctor",
        "task",
    ],
}

KINDS_FIELDS = (
    "sellertrust ledger append exposure entry_id=x-s-1-2026-11-20 seller=s-1 day=2026-11-20 settled_orders=12"
    ' "value_minor=239.88 EUR"'
)
KINDS_JSON = """{"entry_id": "x-s-1-2026-11-20", "seller": "s-1",
 "exposure": {"day": "2026-11-20", "settled_orders": 12, "value_minor": 23988, "currency": "EUR"}}"""
KINDS_ROWS = "shop,day,orders,cents\ns-1,2026-11-20,12,23988\n"
KINDS_MAPPING = """marketplace = "default"

[[files]]
path = "sold.csv"

[[files.entries]]
kind = "exposure"
entry_id = "x-{shop}-{day}"
seller = "{shop}"
day = "{day}"
settled_orders = "{orders}"
value_minor = "{cents}"
currency = "EUR"
"""


UNNAMED = {
    "audit file: a line deleted": (
        "This concerns the last line only. Later lines hold the hashes of all others. Keep the last hash elsewhere."
    ),
    "checkpoints: a line deleted": "Each line has its own signature. Keep the file where the database's owner cannot write.",
    "checkpoints: a line twice": "It repeats a true statement.",
    "checkpoints: a blank": "Only the values are signed.",
    "source_position": (
        "It states where a source is read on. A lower position repeats entries, which have known ids. A higher position skips"
        " entries: compare with the source's own count."
    ),
    "ledger_compatibility": "It states which releases may write. Everything that they write is sealed.",
    "log of models' moves: a blank": "The move is the same. The audit file has each call that moves a model.",
    "backup": "This concerns bytes in the headers of the archive, which no restore reads.",
}
"""Edits that verification does not name, with reasons; `./dev bench access --only edits` makes the edits."""

FLOORS = {
    "moderate": " of moderate or higher severity",
    "severe": " of major or critical severity",
    "incident": "",
}
COMMON_FIELDS = {
    *("observe_time", "known_time", "at_least_sequence"),
    *("parent", "page_size", "page_token"),
    *("name", "actor", "reason", "ground", "entry_id"),
}
COMMON_FIELD = 3
COMMON_OPTIONS = ("--marketplace", "--output", "--server", "--limit", "--observe-time", "--known-time")


def reference_pages() -> dict[str, str]:
    makers: dict[str, Callable[[], Iterator[str]]] = {
        "commands": _commands,
        "contract": _contract,
        "errors": _errors,
        "features": _features,
        "kinds": _kinds,
        "lifecycle": _lifecycle,
        "reason-codes": _reason_codes,
        "review": _review,
        "rights": _rights,
        "settings": _settings,
        "violation-types": _violation_types,
    }
    return {f"reference/{name}.md": "\n".join(maker()) + "\n" for name, maker in makers.items()}


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.;])\s+(?=[A-Z`(])", " ".join(text.split()), maxsplit=1)[0]


def _table(*heads: str) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "`sellertrust COMMAND --help` explains every option. Data goes to stdout, messages and progress go to"
    yield "stderr. Most commands also take `--marketplace ID` and `--output table` or `json`. Commands that list take"
    yield "`--limit`, and those that look back take `--observe-time` and `--known-time`. Options in brackets may be"
    yield "left out. Only `verify`, `ledger erase`, `ledger mend-clock` and `model list`, `promote`, `rollback` and"
    yield "`show` take `--server HOST:PORT`; the others ask `SELLERTRUST_TARGET`."
    yield ""
    yield "## Exit codes"
    yield ""
    yield "Like faults end with like codes, in every command."
    yield ""
    yield from _table("code", "means", "when")
    yield from (f"| {int(code)} | {words} | {when} |" for code, (words, when) in EXIT_CODES.items())
    yield ""
    yield "## What commands work on"
    yield ""
    yield "- `server`: it asks `SELLERTRUST_TARGET`."
    yield "- `database`: it reads the database itself. With `--export`, `train` and `model monitor` read a"
    yield "  file instead. With `--server`, `verify audit` asks a server."
    yield "- `database alone`: it writes to the database itself, so on SQLite the server must be stopped. With `--server`,"
    yield "  `ledger erase` and `ledger mend-clock` ask a server instead."
    yield "- `files`: it needs neither. But `doctor` looks at both, and `policy certify --ledger` reads the database."
    root = command_tree()
    single = {name: command for name, command in root.commands.items() if not hasattr(command, "commands")}
    groups = {name: command.commands for name, command in root.commands.items() if hasattr(command, "commands")}
    for title, commands in [
        ("sellertrust", single),
        *((f"sellertrust {name}", groups[name]) for name in sorted(groups)),
    ]:
        yield ""
        yield f"## {title}"
        yield ""
        yield from _table("command", "works on", "does", "arguments and options")
        for name, command in sorted(commands.items()):
            first = (command.help or "").partition("\n\n")[0]
            place = _find_places(f"{title} {name}".removeprefix("sellertrust "))
            yield f"| `{name}` | {place} | {_first_sentence(first)} | {_parameters(command)} |"


def _find_places(command: str) -> str:
    group = command.partition(" ")[0]
    own = [place for place, names in WHERE.items() if any(f"{name} ".startswith(f"{command} ") for name in names)]
    return ", ".join(own or [place for place, names in WHERE.items() if group in names])


def command_tree() -> Any:
    root: Any = typer.main.get_command(app)
    root.commands |= {name: load_command(name) for name in COMMANDS}
    return root


def _parameters(command: Any) -> str:
    shown = []
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False) or parameter.opts[0] in COMMON_OPTIONS:
            continue
        if parameter.param_type_name == "argument":
            name = parameter.metavar or (parameter.name or "").upper()
            shown.append(name if parameter.required else f"[{name}]")
        else:
            shown.append(parameter.opts[0] if parameter.required else f"[{parameter.opts[0]}]")
    return f"`{' '.join(shown)}`" if shown else ""


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Each setting is an environment variable. An empty variable counts as not set. `sellertrust doctor`"
    yield "prints the values and where they come from. A mistyped name stops the start."
    yield ""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for row in describe(load({f"{PREFIX}DATA_DIR": "/DATA_DIR"})):
        default = "~/.local/share/sellertrust" if row.name == "data_dir" else row.value.replace("/DATA_DIR", "DATA_DIR")
        text = Settings.model_fields[row.name].description
        yield f"| `{row.variable}` | {f'`{default}`' if default else ''} | {text} |"


def _contract() -> Iterator[str]:
    yield "# The contract"
    yield ""
    yield "The package is `sellertrust.v1`. The comments in `proto/sellertrust/v1` define each field, its unit, its"
    yield "range and its default. [Errors](errors.md) lists the reasons of failed calls."
    yield ""
    yield "Reads also take `observe_time`, `known_time` and `at_least_sequence`. Lists take `parent`, `page_size` and"
    yield "`page_token`. Decisions take `name`, `actor`, `reason`, `ground` and `entry_id`."
    for service, methods in _services():
        yield ""
        yield f"## {service}"
        yield ""
        yield from _table("method", "does", "request", "right")
        for method in methods:
            right = METHODS[f"{service}/{method.name}"].right.value
            fields = ", ".join(name for field in method.input_type.fields if (name := field.name) not in COMMON_FIELDS)
            text = _first_sentence(_comment_before(f"rpc {method.name}(")).partition(": ")[0].rstrip(".")
            yield f"| `{method.name}` | {text} | {fields} | `{right}` |"


def _services() -> Iterator[tuple[str, Sequence[Any]]]:
    found: dict[str, Any] = {}
    for path in sorted(PROTO.glob("*_service.proto")):
        module = import_module(f"sellertrust.v1.{path.stem}_pb2")
        found |= module.DESCRIPTOR.services_by_name
    for name in dict.fromkeys(method.split("/")[0] for method in METHODS):
        yield name, found[name].methods


def _comment_before(line: str) -> str:
    for path in sorted(PROTO.glob("*.proto")):
        comment: list[str] = []
        for shown in map(str.strip, path.read_text().splitlines()):
            if shown.startswith(line):
                return " ".join(comment)
            comment = [*comment, shown.removeprefix("//").strip()] if shown.startswith("//") else []
    raise KeyError(line)


def _errors() -> Iterator[str]:
    failures = openapi.document()["components"]["responses"]["Failed"]["content"]["application/json"]["examples"]
    yield "# Errors"
    yield ""
    yield "A failed call has a gRPC status and details. If fields are wrong, the status is INVALID_ARGUMENT, and a"
    yield "`google.rpc.BadRequest` names each field and its problem. Otherwise a `google.rpc.ErrorInfo` has a stable"
    yield "reason and its metadata; the domain is `sellertrust`. A reason to wait comes with a `RetryInfo`."
    yield "`errors.proto` has the full text, and [openapi.json](openapi.json) each failure as Envoy shows it, such as"
    yield ""
    yield "```json"
    yield json.dumps(failures["SELLER_NOT_FOUND"]["value"], indent=1)
    yield "```"
    yield ""
    yield from _table("reason", "status", "meaning", "example of metadata")
    descriptor = import_module("sellertrust.v1.errors_pb2").DESCRIPTOR.enum_types_by_name["ErrorReason"]
    for value in descriptor.values[1:]:
        text, _, example = _comment_before(f"{value.name} = ").partition("Example: ")
        status, _, meaning = text.partition(": ")
        metadata = re.search(r'"metadata": (\{.*?\})', example)
        shown = re.sub(r"[0-9a-f]{64}", "3f79bb7b435b...", metadata[1]) if metadata else ""
        name = value.name.removeprefix("ERROR_REASON_")
        meaning = _first_sentence(meaning)
        yield f"| `{name}` | {status} | {meaning[:1].upper()}{meaning[1:]} | {f'`{shown}`' if shown else ''} |"


def _rights() -> Iterator[str]:
    yield "# Rights"
    yield ""
    yield "A [grants file](../how-to/access.md) gives rights to callers. [The contract](contract.md) states the right"
    yield "of each method. A marked right also needs a client certificate, because a token can be copied."
    yield ""
    yield from _table("right", "gives", "certificate")
    for right, text in _texts_of_rights().items():
        yield f"| `{right.value}` | {text} | {'yes' if right in BOUND else ''} |"
    yield ""
    yield "Each call that appends an entry needs the right of its kind. `EraseSeller` and `MendClock` append"
    yield "their entries themselves."
    yield ""
    yield from _table("right", "kinds of entries")
    for right in dict.fromkeys(RIGHT_OF_KIND.values()):
        kinds = [kind.word for kind, of in RIGHT_OF_KIND.items() if of is right and kind not in BY_COMMAND]
        if kinds:
            yield f"| `{right.value}` | {', '.join(f'`{kind}`' for kind in kinds)} |"
    yield ""
    yield "## What verification does not detect"
    yield ""
    yield "`verify ledger` detects every edit of an entry, a seal or a key, and every deleted row. `verify"
    yield "audit` detects edits of the audit file, and a restore detects edits of a backup. `./dev bench"
    yield "access --only edits` makes over 400 edits. These remain:"
    yield ""
    yield from _table("edit", "why it is not detected")
    for what, why in UNNAMED.items():
        yield f"| {what} | {why} |"


def _texts_of_rights() -> dict[Right, str]:
    source = inspect.getsource(Right)
    return {right: source.split(f'= "{right.value}"')[1].split('"""')[1].strip() for right in Right}


def _features() -> Iterator[str]:
    yield "# Features"
    yield ""
    yield "+: more of it never lowers points. -: more of it never raises points. A definition never changes. A change"
    yield "gets a new version, and a model pins the versions that it uses. `N` is the half-life in days. `CATEGORY`"
    yield "is a category of violations. `FLOOR` is `incident` (all), `moderate` (or graver) or `severe` (major and"
    yield "critical)."
    yield ""
    yield from _table("feature", "unit", "direction", "definition")
    families: dict[tuple[str, str, str, str], list[str]] = {}
    for feature in FEATURES.values():
        name, definition = feature.key, feature.definition
        for category in Category:
            word = category.name.lower()
            if f"with {word} violations" in definition and name.startswith(f"{word}_"):
                name, definition = name.replace(word, "CATEGORY", 1), definition.replace(word, "CATEGORY", 1)
        for floor, words in FLOORS.items():
            counted = f"Incidents{words} that count"
            if definition.startswith(counted) and name.startswith(f"{floor}_"):
                name = name.replace(floor, "FLOOR", 1)
                definition = definition.replace(counted, "Incidents of the FLOOR that count", 1)
        days = re.search(r"half-life (\d+) days", definition)
        if days and f"_{days[1]}d@" in name:
            name = name.replace(f"_{days[1]}d@", "_Nd@")
            definition = definition.replace(days[0], "half-life N days")
        direction = "+" if feature.direction > 0 else "-"
        families.setdefault((name, feature.unit, direction, definition), []).append(days[1] if days else "")
    for (name, unit, direction, definition), lives in families.items():
        values = f"; N is {', '.join(dict.fromkeys(lives))}" if "_Nd@" in name else ""
        yield f"| `{name}` | {unit} | {direction} | {definition}{values} |"


def _kinds() -> Iterator[str]:
    yield "# Kinds of entries"
    yield ""
    yield "An entry has one kind. A later entry corrects an earlier one, and no entry is changed or deleted."
    yield "`entry.proto` has the full text of every field."
    yield ""
    yield "`sellertrust ledger append KIND FIELD=VALUE ...` appends one entry. Amounts are in units, with the currency:"
    yield ""
    yield from ("```", KINDS_FIELDS, "```")
    yield ""
    yield "As JSON, for `sellertrust ledger append FILE`. Amounts are whole minor units (cents):"
    yield ""
    yield from ("```json", KINDS_JSON, "```")
    yield ""
    yield "The same entry from a row of `sold.csv`, by a [mapping](mappings.md) for `sellertrust ledger import`:"
    yield ""
    yield from ("```csv", KINDS_ROWS.rstrip(), "```", "", "```toml", KINDS_MAPPING.rstrip(), "```")
    uses = Counter(_field_line(field) for row in KINDS.values() for field in row.fields)
    common = [line for line, times in uses.items() if times >= COMMON_FIELD]
    yield ""
    yield "## Fields of many kinds"
    yield ""
    yield from common
    for row in KINDS.values():
        yield ""
        yield f"## {row.kind.word}"
        yield ""
        yield f"{_first_sentence(row.fact.__doc__ or '').rstrip('.')}. Effect on the score: {row.effect}."
        yield f"Seller {row.seller.value}, `occur_time` {row.occur_time.value}."
        yield ""
        yield from (line for field in row.fields if (line := _field_line(field)) not in common)
        others = [f"`{field.name}`" for field in row.fields if _field_line(field) in common]
        if others:
            yield f"- also {', '.join(others)}"


def _field_line(field: FactField) -> str:
    kind = list_names(field.shape.words) if field.shape.words else field.shape.kind
    required = "; required" if "Required." in field.text else ""
    text = re.split(r"[.;:(]|, ", " ".join(field.text.split()), maxsplit=1)[0].strip()
    return f"- `{field.name}` ({kind}{required}): {text}"


def _lifecycle() -> Iterator[str]:
    yield "# The lifecycle of a violation"
    yield ""
    yield "Each cell has the status after a decision. An empty cell is refused; the error names the decisions that"
    yield "are allowed."
    yield ""
    yield f"| status | counts | {' | '.join(action.name.lower() for action in Action)} |"
    yield f"|---|---|{'---|' * len(Action)}"
    for status in Status:
        cells = [_spell(TRANSITIONS[status].get(action)) for action in Action]
        meaning = {True: "yes", False: "no"}[status in COUNTING_STATUSES]
        if status in RETRACTED_STATUSES:
            meaning = "as if never reported"
        elif status in OPEN_STATUSES:
            meaning = "only in `points_if_upheld`"
        yield f"| {_spell(status)} | {meaning} | {' | '.join(cells)} |"


def _spell(status: Status | None) -> str:
    return status.name.lower().replace("_", " ") if status else ""


def _reason_codes() -> Iterator[str]:
    yield "# Reason codes"
    yield ""
    yield "A reason states why the points are not higher. Codes are stable. An explanation starts at the base, which"
    yield "is the points of a seller with the best row of every table. Each reason takes its points, and the rest is"
    yield "the score. A reason names the incidents, entries or days behind it."
    yield ""
    yield from _table("reason code", "meaning")
    for code, meaning in REASON_CODES.items():
        yield f"| `{code}` | {meaning} |"


def _review() -> Iterator[str]:
    yield "# Notifiers and the review queue"
    yield ""
    yield "Nothing on this page enters a score. The reliability of a notifier is the mean of a Beta posterior over"
    yield "its decided reports, with a 90 % interval. Confirmed, reduced and appealed count as upheld. An open report"
    yield "does not count. A report of an authority has probability 1."
    yield ""
    yield from _table("outcome", "counts against the notifier as")
    for outcome, weight in AGAINST.items():
        yield f"| {outcome.name.lower()} | {weight:g} |"
    yield ""
    yield "The prior follows from the source of most of the notifier's reports."
    yield ""
    yield from _table("source", "upheld", "failed", "mean", "reason")
    for source, prior in PRIORS.items():
        yield f"| {source.name.lower()} | {_beta(prior)} | {prior.reason} |"
    yield ""
    yield "The queue lists safety violations first. Then it orders by probability upheld x harm weight x (orders"
    yield f"settled in the last {ORDER_DAYS} days + 1). The orders estimate the orders that still ship. A violation behind"
    yield "a [caution](policy.md#caution) shows the deadline of its case."
    yield ""
    yield from _table("severity", "harm weight")
    for severity, weight in HARM_WEIGHTS.items():
        yield f"| {severity.name.lower()} | {weight} |"


def _beta(prior: NotifierPrior) -> str:
    return f"{prior.upheld:g} | {prior.failed:g} | {prior.mean:g}"


def _violation_types() -> Iterator[str]:
    yield "# Violation types"
    yield ""
    yield "Severity follows from the type, the harm and the source. The act of an authority has at least the severity"
    yield "in column `authority`."
    yield ""
    yield f"| violation type | category | {' | '.join(h.name.lower() for h in Harm)} | authority | meaning |"
    yield f"|---|---|{'---|' * len(Harm)}---|---|"
    for row in TABLES[-1][1].values():
        severities = " | ".join(severity.name.lower() for severity in row.severities)
        yield (
            f"| `{row.key}` | {row.category.name.lower()} | {severities} | {row.floor.name.lower()}"
            f" | {row.description} |"
        )
