"""The generated pages of `docs/`: the command line, and the tables of the core. `--write` makes them anew.

`./dev check` and a test hold them in step with the code, so that a page can be trusted.
"""

import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer.main

from scoring.entries.field_types import list_names
from scoring.entries.kinds.table import KINDS
from scoring.entries.lifecycle import COUNTING_STATUSES, OPEN_STATUSES, RETRACTED_STATUSES, TRANSITIONS
from scoring.entries.violation_types import TABLES
from scoring.enums import Action, Harm, Status
from scoring.features.table import FEATURES
from scoring.reasons import REASON_CODES
from service.cli.app import app
from service.cli.lazy import COMMANDS, load_command
from service.cli.output import EXIT_CODES
from service.ledger.notifiers import ORDER_DAYS
from service.review.priority import HARM_WEIGHTS
from service.review.reliability import AGAINST, PRIORS, NotifierPrior
from service.setting_forms import PREFIX
from service.settings import Settings, describe, load
from tests import contract
from tests.docs_of_access import access_page

DOCS = Path(__file__).parents[1] / "docs"


WHERE = {
    "These ask a server (`SELLERTRUST_TARGET`)": (
        *(
            "score",
            "measures",
            "payout",
            "restitution",
            "override",
            "badge",
            "book",
            "case",
            "violation",
            "notifier",
            "proposal",
            "policy commit",
            "policy rollback",
            "policy history",
            "policy show",
            "ledger append",
            "ledger list",
            "ledger watch",
            "access list-audit",
        ),
    ),
    "These read the database itself, beside a server or without one": (
        *(
            "rescore",
            "policy preview",
            "ledger export",
            "ledger backup",
            "ledger checkpoint",
            "ledger verify",
            "train",
        ),
        "mechanism status",
    ),
    "These write to the database itself, on SQLite while no server and no other command writes (`ledger erase` and `ledger"
    " mend-clock` with `--server` ask one)": (
        *(
            "ledger import",
            "ledger feed",
            "ledger erase",
            "ledger mend-clock",
            "ledger restore",
            "db upgrade",
            "db grant",
            "mechanism run",
            "serve",
        ),
    ),
    "These need neither": (
        *(
            "access",
            "violation types",
            "ledger kinds",
            "ledger examples",
            "ledger unmatched",
            "model",
            "policy",
            "config show",
            "doctor",
        ),
    ),
}
"""Where the commands work; a group stands for all of its commands that are not named elsewhere."""

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
"""The same entry twice: as JSON, and as a row of a file with its mapping."""


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    makers: dict[str, Callable[[], Iterator[str]]] = {
        "how-to/access.md": access_page,
        "reference/commands.md": _cli,
        "reference/settings.md": _configuration,
        "reference/features.md": _features,
        "reference/kinds.md": _kinds,
        "reference/lifecycle.md": _lifecycle,
        "reference/reason-codes.md": _reason_codes,
        "reference/review.md": _review,
        "reference/violation-types.md": _violation_types,
    }
    return {name: "\n".join(maker()) + "\n" for name, maker in makers.items()}


def stale() -> list[str]:
    """The pages that differ from what the code gives."""
    return [name for name, text in pages().items() if not (DOCS / name).exists() or (DOCS / name).read_text() != text]


def documents() -> list[Path]:
    """Return every document of the project: at the top, in `docs/` and in `.github/`."""
    root = DOCS.parent
    return sorted([*root.glob("*.md"), *DOCS.rglob("*.md"), *root.glob(".github/**/*.md")])


def dead_links() -> list[str]:
    """Return each relative link of a document whose file or heading is missing, as `FILE: TARGET`."""
    found = []
    for document in documents():
        for target, heading in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", _without_code(document.read_text())):
            linked = document.parent / target if target else document
            if not linked.exists() or (heading and heading not in _anchors(linked)):
                found.append(f"{document.relative_to(DOCS.parent)}: {target}{'#' * bool(heading)}{heading}")
    return found


def _anchors(page: Path) -> set[str]:
    """Return the anchors that a code host gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def _cli() -> Iterator[str]:
    yield "# The command line"
    yield ""
    yield "`sellertrust`: data goes to stdout, messages and progress to stderr."
    yield ""
    yield EXIT_CODES
    yield ""
    for who, commands in WHERE.items():
        yield f"- {who}: {', '.join(f'`{name}`' for name in commands)}."
    yield from _command(command_tree(), "sellertrust", depth=2)


def command_tree() -> Any:
    """Return the root of the command line with all its commands imported."""
    root: Any = typer.main.get_command(app)
    root.commands |= {name: load_command(name) for name in COMMANDS}
    return root


def _command(command: Any, path: str, depth: int) -> Iterator[str]:
    for name, child in sorted(getattr(command, "commands", {}).items()):
        title = f"{path} {name}"
        yield ""
        yield f"{'#' * min(depth, 3)} {title}"
        yield ""
        yield " ".join((child.help or "").split())
        rows = [_parameter(parameter) for parameter in child.params if _is_shown(parameter)]
        if rows:
            yield ""
            yield "| | |"
            yield "|---|---|"
            yield from rows
        yield from _command(child, title, depth + 1)


def _is_shown(parameter: Any) -> bool:
    """Return whether a parameter is for people, who know `--help` anyway."""
    return parameter.name != "help" and not getattr(parameter, "hidden", False)


def _parameter(parameter: Any) -> str:
    text = parameter.help or ""
    if parameter.param_type_name == "argument":
        shown = parameter.metavar or (parameter.name or "").upper()
    else:
        shown = ", ".join([*parameter.opts, *parameter.secondary_opts])
        if not parameter.is_flag:
            shown += f" {parameter.metavar or _kind(parameter.type_descriptor.annotation)}"
    choices = _words(parameter.type_descriptor.annotation)
    if parameter.param_type_name == "argument" and choices:
        text = f"{text} One of {', '.join(choices)}."
    if parameter.required:
        text = f"{text} Required."
    elif isinstance(parameter.default, str | int | float) and not isinstance(parameter.default, bool):
        text = f"{text} Default: `{_word(parameter.default)}`."
    return f"| `{shown}` | {' '.join(text.split())} |"


def _kind(annotation: Any) -> str:
    """What an option takes: the words of an enumeration, else the name of its type."""
    if choices := _words(annotation):
        return " or ".join(choices)
    return str(getattr(annotation, "__name__", "text")).upper().replace("STR", "TEXT").replace("LIST", "TEXT")


def _words(annotation: Any) -> list[str]:
    """The words of an enumeration; none of another type."""
    is_words = isinstance(annotation, type) and issubclass(annotation, Enum)
    return [_word(member) for member in annotation] if is_words else []


def _word(value: object) -> str:
    return str(getattr(value, "value", value))


def _configuration() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield "Environment variables; an empty one counts as not set. `sellertrust config show` lists them with their values, and"
    yield "where each value comes from. A mistyped name stops the start."
    yield ""
    yield "| variable | default | |"
    yield "|---|---|---|"
    for row in describe(load({f"{PREFIX}DATA_DIR": "/DATA_DIR"})):
        default = "~/.local/share/sellertrust" if row.name == "data_dir" else row.value.replace("/DATA_DIR", "DATA_DIR")
        text = Settings.model_fields[row.name].description
        yield f"| `{row.variable}` | {f'`{default}`' if default else ''} | {text} |"


def _features() -> Iterator[str]:
    yield "# Features"
    yield ""
    yield "Direction +: more of it never lowers points; -: more of it never raises them. A definition never changes: a"
    yield "change is a new version, and artifacts pin the versions they use."
    yield ""
    yield "| feature | unit | direction | definition |"
    yield "|---|---|---|---|"
    for feature in FEATURES.values():
        yield f"| `{feature.key}` | {feature.unit} | {'+' if feature.direction > 0 else '-'} | {feature.definition} |"


def _kinds() -> Iterator[str]:
    yield "# Kinds of entries"
    yield ""
    yield "What an entry can state. A later entry corrects an earlier one; nothing is changed or deleted, and expiry is"
    yield "derived, never stored. `entry.proto` has the full text of every field."
    yield ""
    yield "As JSON, for `sellertrust ledger append` (there on one line), amounts in minor units (cents) in digits alone:"
    yield ""
    yield from ("```json", KINDS_JSON, "```")
    yield ""
    yield "The same entry from a row of `sold.csv`, by a mapping for `sellertrust ledger import`:"
    yield ""
    yield from ("```csv", KINDS_ROWS.rstrip(), "```", "", "```toml", KINDS_MAPPING.rstrip(), "```")
    yield ""
    yield "| kind | states | effect on the score | seller | `occur_time` |"
    yield "|---|---|---|---|---|"
    for row in KINDS.values():
        text = " ".join((row.fact.__doc__ or "").split()).split(". ")[0].strip().rstrip(".")
        yield f"| `{row.key}` | {text} | {row.effect} | {row.seller.value} | {row.occur_time.value} |"
    for row in KINDS.values():
        yield ""
        yield f"## {row.key}"
        yield ""
        yield "| field | type | |"
        yield "|---|---|---|"
        for field in row.fields:
            kind = list_names(field.shape.words) if field.shape.words else field.shape.kind
            yield f"| `{field.name}` | {kind} | {field.text} |"


def _lifecycle() -> Iterator[str]:
    yield "# The lifecycle of a violation"
    yield ""
    yield "What may be done to a violation, and where it then stands. Blank: refused, and the refusal names what is allowed."
    yield ""
    yield f"| status | counts | {' | '.join(action.name.lower() for action in Action)} |"
    yield f"|---|---|{'---|' * len(Action)}"
    for status in Status:
        cells = [_spell(TRANSITIONS.get((status, action))) for action in Action]
        meaning = {True: "yes", False: "no"}[status in COUNTING_STATUSES]
        if status in RETRACTED_STATUSES:
            meaning = "no: as if never reported"
        elif status in OPEN_STATUSES:
            meaning = "no: only in `points_if_upheld`"
        yield f"| {_spell(status)} | {meaning} | {' | '.join(cells)} |"


def _spell(status: Status | None) -> str:
    return status.name.lower().replace("_", " ") if status else ""


def _reason_codes() -> Iterator[str]:
    yield "# Reason codes"
    yield ""
    yield "Stable strings for why the points are not higher. ExplainTrustScore begins at the base, which a seller with the"
    yield "best row of every table has. Each reason takes its points, and what is left is the score. A reason names what is"
    yield "behind it: incidents, entries, or days of exposure."
    yield ""
    yield "| reason code | meaning |"
    yield "|---|---|"
    for code, meaning in REASON_CODES.items():
        yield f"| `{code}` | {meaning} |"


def _review() -> Iterator[str]:
    yield "# Notifiers and the review queue"
    yield ""
    yield "None of this enters a score. A notifier's reliability is the mean of a Beta posterior over its decided reports,"
    yield "with a 90 % interval. Confirmed, reduced and appealed is upheld; an open report says nothing. Authorities are not"
    yield "judged: what they report has probability 1."
    yield ""
    yield "| outcome | counts against the notifier as |"
    yield "|---|---|"
    for outcome, weight in AGAINST.items():
        yield f"| {outcome.name.lower()} | {weight:g} |"
    yield ""
    yield "The prior is that of the source under which the notifier reported most. Priors are assumptions, and fade."
    yield ""
    yield "| source | upheld | failed | mean | because it |"
    yield "|---|---|---|---|---|"
    for source, prior in PRIORS.items():
        yield f"| {source.name.lower()} | {_beta(prior)} | {prior.reason} |"
    yield ""
    yield "The queue puts safety first, always, then goes by probability that a violation is upheld x harm weight x (orders"
    yield f"that the seller settled in the last {ORDER_DAYS} days, a proxy for those still shipping, + 1). Beside"
    yield "a violation that a caution in force rests on stands by when the case of that caution is to be decided"
    yield "([policy.md](policy.md))."
    yield ""
    yield "| severity | harm weight |"
    yield "|---|---|"
    for severity, weight in HARM_WEIGHTS.items():
        yield f"| {severity.name.lower()} | {weight} |"


def _beta(prior: NotifierPrior) -> str:
    return f"{prior.upheld:g} | {prior.failed:g} | {prior.mean:g}"


def _violation_types() -> Iterator[str]:
    yield "# Violation types"
    yield ""
    yield "Severity follows from the type, the harm, and the source: an authority's act weighs at least the last column."
    yield ""
    yield f"| violation type | category | {' | '.join(h.name.lower() for h in Harm)} | authority | |"
    yield f"|---|---|{'---|' * len(Harm)}---|---|"
    for row in TABLES[-1][1].values():
        severities = " | ".join(severity.name.lower() for severity in row.severities)
        yield (
            f"| `{row.key}` | {row.category.name.lower()} | {severities} | {row.floor.name.lower()}"
            f" | {row.description} |"
        )


def main() -> int:
    """Checks, or with --write writes."""
    if "--write" in sys.argv[1:]:
        for name, text in pages().items():
            (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
            (DOCS / name).write_text(text)
        return 0
    found = stale()
    wrong_contract = contract.main()
    for name in found:
        print(f"docs/{name} is not what the code gives; run: python -m tests.docs_in_step --write")
    dead = dead_links()
    for link in dead:
        print(f"{link} leads nowhere")
    return bool(found) or bool(wrong_contract) or bool(dead)


if __name__ == "__main__":
    sys.exit(main())
