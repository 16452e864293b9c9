"""The commands as data; a command's modules are imported when it is called.

Importing all takes a second, which `--help` and `score` do not need.
"""

import re
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class CommandRow(NamedTuple):
    summary: str
    functions: str | dict[str, str]


COMMANDS = {
    "serve": CommandRow("Serve the contract over gRPC until SIGTERM or SIGINT; then drain and stop.", "operate:serve"),
    "doctor": CommandRow("Show the settings in force, and check everything that a server needs.", "doctor:doctor"),
    "verify": CommandRow("Verify the ledger, a recovery, the audit file or another signed file.", "verify:verify"),
    "score": CommandRow("Show the trust scores and terms of sellers.", "scores:score"),
    "measures": CommandRow(
        "Show the measures in force for a seller by the policy, and their terms.", "measures:measures"
    ),
    "simulate": CommandRow("Show the score and measures of a seller if something happened.", "answers:simulate"),
    "path": CommandRow("Show the shortest way of a seller to each better tier.", "answers:path"),
    "replay": CommandRow("Answer again from the JSON of an old answer, and show what has changed.", "answers:replay"),
    "statements": CommandRow(
        "Write the statements of reasons for measures in force into a folder.", "answers:statements"
    ),
    "payouts": CommandRow("Show when each order of a CSV file is paid out, and why.", "payouts:payouts"),
    "notifier": CommandRow("Show who reports violations, and how reliable they are.", "notifiers:show_notifiers"),
    "report": CommandRow(
        "Write the public report of a month or a year: as CSV to stdout, or as a page.", "report:report"
    ),
    "rescore": CommandRow("Score all sellers of all marketplaces for one day into one file.", "rescore:rescore"),
    "task": CommandRow(
        "Run one task of a rescoring: score the sellers of its files, and commit them by a receipt.", "task:task"
    ),
    "train": CommandRow("Train, check and judge a model as a study says, and register it.", "train:train"),
    "access": CommandRow("Show who may do what, or who did what.", "access:access"),
    "model": CommandRow(
        "Look at the published models, compare them, and say which is champion.",
        {
            "list": "models:list_models",
            "show": "models:show",
            "promote": "models:promote",
            "rollback": "models:rollback",
            "monitor": "monitor:monitor",
        },
    ),
    "audit": CommandRow(
        "Draw a random sample of test buys, and estimate the share of fakes.",
        {"plan": "audit:plan_command", "estimate": "audit:estimate_command"},
    ),
    "badge": CommandRow(
        "Serve badges of sellers for web pages.",
        {"serve": "badge:serve"},
    ),
    "case": CommandRow(
        "List the cases that cautions and stops of payouts opened.",
        {"list": "cases:list_cases"},
    ),
    "ledger": CommandRow(
        "Read and write the ledger of what each seller did.",
        {
            "append": "ledger:append",
            "list": "ledger:list_entries",
            "export": "ledger:export_command",
            "import": "imports:import_command",
            "outcomes": "imports:outcomes_command",
            "feed": "feed:feed_command",
            "upgrade": "maintenance:upgrade_command",
            "backup": "maintenance:backup",
            "restore": "maintenance:restore",
            "checkpoint": "maintenance:checkpoint_command",
            "erase": "maintenance:erase_command",
            "mend-clock": "maintenance:mend_clock_command",
        },
    ),
    "network": CommandRow(
        "Digest identifiers for links between sellers, and look at rings.",
        {"digest": "network:digest_command", "show": "network:show_command", "export": "network:export_command"},
    ),
    "policy": CommandRow(
        "Check and compare policy files; commit one that every server serves.",
        {
            "check": "policy:check",
            "commit": "policy_history:commit",
            "rollback": "policy_history:rollback",
            "show": "policy_history:show",
            "preview": "policy_preview:preview",
            "certify": "certificate:certify",
        },
    ),
    "proposal": CommandRow(
        "Approve what another person proposes.",
        {"show": "proposals:show", "decide": "proposals:decide", "carry-out": "proposals:carry_out"},
    ),
    "violation": CommandRow(
        "Show violations, and decide about them.",
        {
            "show": "violations:show",
            "list": "violations:list_violations",
            "queue": "violations:queue",
            "decide": "violations:decide",
            "decide-all": "violations:decide_all",
        },
    ),
}


class LazyGroup(TyperGroup):
    """The root command. Its help shows the summaries of `COMMANDS`; a call imports the command's modules."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _write_summaries(self)
        for name, row in COMMANDS.items():
            self.add_command(TyperCommand(name, short_help=row.summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, Any]:
        """Load a command's module when it is called, not before."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest


def list_functions(name: str) -> dict[str, str]:
    """Return `module:function` of a command, or of each command of a group, by the command's name."""
    functions = COMMANDS[name].functions
    return {name: functions} if isinstance(functions, str) else functions


def load_command(name: str) -> Any:
    """Import a command or group by its name in `COMMANDS`, and return Typer's object of it. Raises KeyError."""
    row = COMMANDS[name]
    parts = typer.Typer(name=name, help=row.summary, no_args_is_help=True, rich_markup_mode=None)
    for command, location in list_functions(name).items():
        module, _, function = location.partition(":")
        parts.command(command)(getattr(import_module(f"{__package__}.{module}"), function))
    group: Any = get_group(parts)
    _write_summaries(group)
    return group.commands.get(name, group)


def _write_summaries(group: TyperGroup) -> None:
    """Summarise each command by its help's first sentence, which Typer would cut at the terminal's width."""
    for command in group.commands.values():
        command.short_help = re.split(r"(?<=\.)\s", " ".join((command.help or "").split()), maxsplit=1)[0]
