"""`sellertrust serve | config show | db upgrade | db grant | doctor`: running the thing."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from scoring.errors import LedgerUnavailable, SellertrustError
from service.bootstrap import open_ledger, prepare_database, run_server
from service.cli.common import write_address
from service.cli.connecting import connect, connection_trouble
from service.cli.output import Exit, Format, Output, emit, say
from service.cli.troubles import explain_ledger_error
from service.settings import Settings, describe, load

app = typer.Typer()
config = typer.Typer()
db = typer.Typer()


@app.command("serve")
def serve(
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="Write the address there once calls are answered.")
    ] = None,
    worker: Annotated[tuple[int, int] | None, typer.Option("--worker", hidden=True)] = None,
) -> None:
    """Serve the contract over gRPC until SIGTERM or SIGINT; then drain and stop."""
    settings = load()
    ready = partial(write_address, ready_file)
    if worker is None and settings.processes > 1:
        from service.workers.supervisor import supervise

        raise typer.Exit(supervise(settings, ready))
    from service.registry.lean_lightgbm import leave_out_optional

    leave_out_optional()
    if worker is None:
        raise typer.Exit(run_server(settings, lambda server: ready(server.address)))
    from service.workers.worker import work

    raise typer.Exit(work(settings, *worker))


@config.command("show")
def config_show(output: Output = Format.TABLE) -> None:
    """Show every setting, where it comes from, and its variable. Secrets are hidden."""
    emit([row._asdict() for row in describe(load())], output)


@db.command("upgrade")
def db_upgrade() -> None:
    """Create the ledger's tables, or bring them up to this release.

    Safe to run twice, and by two at once.
    """
    from service.ledger.database.schema import upgrade

    settings = load()
    prepare_database(settings, create=True)
    upgrade(settings.database_url)
    say("the ledger's database is up to date")


@db.command("grant")
def db_grant(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The PostgreSQL role that servers log in as.")],
    eraser: Annotated[
        str | None, typer.Option("--eraser", metavar="ROLE2", help="A role that may also delete keys (seller_key).")
    ] = None,
) -> None:
    """Give a PostgreSQL role what servers need, and nothing else.

    To read the ledger and to append. Run by the owner of the tables, after db upgrade, and again after each upgrade that
    adds tables. The role must exist.
    """
    from service.ledger.database.rights import grant

    grant(load().database_url, role, eraser)
    say(f"{role} may read the ledger and append to it, and do nothing else")
    if eraser:
        say(f"{eraser} may delete keys besides")


@app.command("doctor")
def doctor(output: Output = Format.TABLE) -> None:
    """Check everything a server needs, and say how to mend what is not well."""
    settings = load()
    rows = [_check(name, check, settings) for name, check in _CHECKS.items()]
    emit(rows, output)
    if any(not row["ok"] for row in rows):
        raise typer.Exit(Exit.CONFIGURATION)


def _check(name: str, check: Any, settings: Settings) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "found": check(settings)}
    except LedgerUnavailable as error:
        _, problem, remedy = explain_ledger_error(error)
        return {"check": name, "ok": False, "found": f"{problem}; {remedy}" if remedy else problem}
    except SellertrustError as error:
        return {"check": name, "ok": False, "found": error.message}
    except Exception as error:  # noqa: BLE001 a doctor reports every ailment and falls ill of none
        return {"check": name, "ok": False, "found": f"{error} ({type(error).__name__})"}


def _lightgbm(_: Settings) -> str:
    try:
        import lightgbm
    except OSError as error:
        if "libgomp" in str(error):
            raise SellertrustError("libgomp.so.1 is missing; install it: apt-get install libgomp1") from None
        raise
    return f"lightgbm {lightgbm.__version__}"


def _ledger(settings: Settings) -> str:
    with open_ledger(settings) as ledger:
        sequence, _ = ledger.last()
        found = [f"{name} {value}" for name, value in ledger.about().items()]
        return "; ".join([f"{sequence:,} entries", ", ".join(found), *ledger.cautions()])


def _policy(settings: Settings) -> str:
    """Return which policy servers answer by: the committed one, or else the file's, which must be sound in any case."""
    from service.policy.history import PolicyHistory
    from service.policy.policy_file import load_policy

    configured = load_policy(settings)
    of_file = f"{configured.name}, {configured.digest[:12]}"
    try:
        ledger = open_ledger(settings)
    except SellertrustError:  # which the ledger's own check names
        return f"{of_file}, of the file; whether another one is committed is not known without the ledger"
    with ledger:
        history = PolicyHistory(ledger)
        last = history.last()
        committed = None if last is None else history.load(last.digest)
    if committed is None:
        return f"{of_file}, of the file, since none is committed"
    return f"{committed.name}, {committed.digest[:12]}, committed; the file's {of_file} is not served"


def _champion(settings: Settings) -> str:
    from service.registry.registry import Registry

    registry = Registry(settings.registry)
    champion = registry.champion()
    if champion is None and next(registry.digests(), None):
        raise SellertrustError(
            "no published model is champion, so scores are unknown; make one: sellertrust model promote challenger"
            " --reason WHY (see: sellertrust model list)"
        )
    if champion is None:
        raise SellertrustError("no model is published, so scores are unknown; train one: sellertrust train STUDY")
    return f"{registry.load(champion).digest[:12]}, verified"


def _server(settings: Settings) -> str:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with connect(settings, service_config="{}") as client:  # one that does not look at health by itself
        try:
            status = health_pb2_grpc.HealthStub(client.channel).Check(health_pb2.HealthCheckRequest(), timeout=2).status
        except grpc.RpcError:
            trouble = connection_trouble(settings, settings.target)
            nothing = f"No server answers at {settings.target}. Start one with `sellertrust serve`."
            raise SellertrustError("; ".join(trouble) if trouble else nothing) from None
    return f"{settings.target}: {health_pb2.HealthCheckResponse.ServingStatus.Name(status).lower()}"


_CHECKS: dict[str, Any] = {
    "configuration": lambda settings: f"data in {settings.data_dir}; a running server may use another folder",
    "lightgbm": _lightgbm,
    "policy": _policy,
    "ledger": _ledger,
    "champion": _champion,
    "server": _server,
}
