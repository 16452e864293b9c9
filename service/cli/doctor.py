from typing import Any

import typer

from scoring.base.errors import LedgerUnavailable, SellertrustError
from scoring.base.time import format_time
from scoring.base.version import CORE_VERSION
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.version import VERSION
from service.bootstrap import open_ledger, open_registry
from service.cli.connecting import connect, find_connection_trouble
from service.cli.output import Exit, Format, Output, emit, format_count, missing_package
from service.cli.troubles import explain_ledger_error
from service.ledger.database.schema import version_of
from service.settings import Settings, describe, load

CHECK_SECONDS = 2.0


def doctor(output: Output = Format.TABLE) -> None:
    """Show the settings in force, and check everything that a server needs.

    Each failed check says how to mend it. Secrets are hidden. A running server may have other settings.
    """
    settings = load()
    rows: list[dict[str, Any]] = [
        {
            "check": setting.variable,
            "ok": True,
            "found": setting.value + (" (default)" if setting.source == "default" else ""),
        }
        for setting in describe(settings)
    ]
    rows += run_checks(CHECKS, settings)
    emit(rows, output)
    if any(not row["ok"] for row in rows):
        raise typer.Exit(Exit.CONFIGURATION)


def run_checks(checks: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Run checks by name, each on the settings; return a row of each: name, whether it is sound, and the text found.

    An error becomes the text of its row, so none is raised.
    """
    return [_run_check(name, check, settings) for name, check in checks.items()]


def _run_check(name: str, check: Any, settings: Settings) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "found": check(settings)}
    except LedgerUnavailable as error:
        _, problem, remedy = explain_ledger_error(error)
        return {"check": name, "ok": False, "found": f"{problem}; {remedy}" if remedy else problem}
    except SellertrustError as error:
        return {"check": name, "ok": False, "found": error.message}
    except ModuleNotFoundError as error:
        return {"check": name, "ok": False, "found": missing_package(error)}
    except Exception as error:  # noqa: BLE001 a doctor reports every ailment and falls ill of none
        return {"check": name, "ok": False, "found": f"{error} ({type(error).__name__})"}


def _check_lightgbm(_: Settings) -> str:
    try:
        import lightgbm
    except OSError as error:
        if "libgomp" in str(error):
            raise SellertrustError("libgomp.so.1 is missing; install it: apt-get install libgomp1") from None
        raise
    return f"lightgbm {lightgbm.__version__}"


def _check_grants(settings: Settings) -> str:
    from service.access.grants import load_grants

    if settings.grants is None:
        return "no file: who reaches a server on loopback may do everything"
    grants = load_grants(settings.grants)
    parts = {"issuer": grants.issuers, "grant": grants.grants, "limit": grants.limits, "person": grants.persons}
    return ", ".join(format_count(len(those), name) for name, those in parts.items())


def _check_ledger(settings: Settings) -> str:
    with open_ledger(settings) as ledger:
        sequence, _ = ledger.last()
        with ledger.database.read() as connection:
            schema = version_of(connection)
        about = [f"{name} {value}" for name, value in ledger.database.about().items()] + [f"schema {schema}"]
        return "; ".join([f"{sequence:,} entries", ", ".join(about), *ledger.list_cautions()])


def _check_measures(settings: Settings) -> str:
    from service.mechanism.status import read_status
    from service.mechanism.worker import KEPT_AFTER

    with open_ledger(settings) as ledger:
        status = read_status(ledger)
    as_of = "no day yet" if status.time is None else format_time(status.time)
    refused = ", ".join("/".join(seller) for seller in status.refused)
    return (
        f"recorded at least to entry {status.sequence:,} of {status.ledger_sequence:,} (saved every {KEPT_AFTER:,}), every"
        f" seller as of {as_of}"
        f"{f'; refused: {refused}' if refused else ''}; {format_count(status.open_cases, 'case')} open,"
        f" {status.overdue_cases:,} overdue"
    )


def _check_pseudonym_key(settings: Settings) -> str:
    from service.api.telemetry.logs import load_or_make_key

    if not settings.pseudonym_key.exists():
        return "none yet; a server makes it"
    load_or_make_key(settings.pseudonym_key)
    return str(settings.pseudonym_key)


def _check_policy(settings: Settings) -> str:
    from service.policy.history import PolicyHistory
    from service.policy.policy_file import load_policy

    configured = load_policy(settings)
    file_text = f"{configured.name}, {configured.digest[:12]}"
    try:
        ledger = open_ledger(settings)
    except SellertrustError:  # the ledger's own check reports it
        return f"{file_text}, of the file; whether another one is committed is not known without the ledger"
    with ledger:
        last = ledger.policies.find_last()
        committed = None if last is None else PolicyHistory(ledger).load(last.digest)
    if committed is None:
        return f"{file_text}, of the file, since none is committed"
    return f"{committed.name}, {committed.digest[:12]}, committed; the file's {file_text} is not served"


def _check_champion(settings: Settings) -> str:
    from service.registry.starter import STARTER_DIGEST

    registry = open_registry(settings)
    champion = registry.champion_digest()
    if champion is None and registry.digests():
        raise SellertrustError(
            "no published model is champion, so scores are unknown; make one: sellertrust model promote challenger"
            " --reason WHY (see: sellertrust model list)"
        )
    if champion is None:
        raise SellertrustError(
            "no model is published, so scores are unknown; train one: sellertrust train STUDY, or begin with one of a"
            " simulated market: sellertrust serve --starter"
        )
    about = "; the starter model, of a simulated market: train your own" if champion == STARTER_DIGEST else ""
    return f"{registry.load(champion).digest[:12]}, verified{about}"


def _check_server(settings: Settings) -> str:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with connect(settings, service_config="{}") as client:  # a server that does not check health itself
        try:
            status = (
                health_pb2_grpc.HealthStub(client.channel)
                .Check(health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS)
                .status
            )
        except grpc.RpcError as error:
            message = SellertrustCallError.of(error, CHECK_SECONDS).message
            raise SellertrustError("; ".join(find_connection_trouble(settings, message) or [message])) from None
        state = f"{settings.target}: {health_pb2.HealthCheckResponse.ServingStatus.Name(status).lower()}"
        return f"{state}; {_describe_server(client)}"


def _describe_server(client: Client) -> str:
    try:
        answer = client.get_policy(deadline_seconds=CHECK_SECONDS)
    except SellertrustCallError as error:
        return f"it does not say what it runs: {error.message}"
    server = answer.server
    return (
        f"sellertrust {server.release}, core {server.core_version}, build {server.build[:12]}, schema {server.schema},"
        f" model {server.model_digest[:12] or 'none'}, policy {answer.serving_digest[:12]}"
    )


CHECKS: dict[str, Any] = {
    "release": lambda _: f"sellertrust {VERSION}, core {CORE_VERSION}",
    "lightgbm": _check_lightgbm,
    "grants": _check_grants,
    "pseudonym-key": _check_pseudonym_key,
    "policy": _check_policy,
    "ledger": _check_ledger,
    "measures": _check_measures,
    "champion": _check_champion,
    "server": _check_server,
}
