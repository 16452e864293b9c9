"""`sellertrust mechanism run | status`: the record of measures, by a process apart from the servers, and how far it is."""

import signal
from typing import TYPE_CHECKING, Annotated

import typer

from scoring.time import format_time
from service.bootstrap import build_scorer, build_worker, follow_moves, open_ledger, open_registry
from service.cli.output import Format, Output, emit_one, say
from service.registry.lean_lightgbm import leave_out_optional
from service.settings import load

if TYPE_CHECKING:  # it loads LightGBM, which no other command is to wait for
    from service.mechanism.worker import MechanismWorker

app = typer.Typer()


@app.command("run")
def run(
    once: Annotated[bool, typer.Option("--once", help="Bring the record up to date, and end.")] = False,
) -> None:
    """Record in the ledger what the policy's rules ask for of each seller, until SIGTERM or SIGINT.

    Imposed, updated and lifted, once each and in order, whatever else records at once. Servers do this by themselves; set
    SELLERTRUST_MECHANISM to false for them where this runs. Beside a server it needs PostgreSQL:
    a SQLite file has one writer.
    """
    from service.policy.policy_file import load_policy

    leave_out_optional()
    settings = load()
    with open_ledger(settings) as ledger:
        scorer = build_scorer(ledger, load_policy(settings), open_registry(settings))
        follow_moves(scorer, lambda event, problem: say(f"warning: {event}: {problem}"))
        worker = build_worker(ledger, scorer)
        if once:
            worker.report = _warn
            say(f"{worker.look():,} changes of measures recorded")
            return
        _run_until_asked(worker)
    say(f"{worker.appended:,} changes of measures recorded")


@app.command("status")
def status(output: Output = Format.TABLE) -> None:
    """Show how far the record of measures has come, whoever records, and which sellers cannot be recorded.

    It reads the database itself, beside a server or without one. A seller that is refused is tried again, at the latest
    after an hour; why it is refused is in the log of the server that records, or seen by: sellertrust mechanism run --once.
    """
    from service.mechanism.status import read_status

    with open_ledger(load()) as ledger:
        found = read_status(ledger)
    emit_one(
        {
            "followed_to": found.sequence,
            "ledger_ends_at": found.ledger_sequence,
            "every_seller_as_of": None if found.time is None else format_time(found.time),
            "refused_sellers": ["/".join(one) for one in found.refused],
            "open_cases": found.open_cases,
            "overdue_cases": found.overdue_cases,
        },
        output,
    )


def _run_until_asked(worker: "MechanismWorker") -> None:
    """Run the worker until SIGTERM or SIGINT, which end it after the seller that is being evaluated."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    say("recording; problems are reported here")
    worker.run(_warn)


def _warn(problem: str) -> None:
    say(f"warning: not recorded, and tried again: {problem}")
