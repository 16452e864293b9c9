"""The problem and the remedy for a PostgreSQL that lets nobody in, or is silent: for the operator, who may know where it is.

Callers of the server get no more than that the ledger is unavailable, not which host and port that concerns.
"""

import re

from scoring.base.errors import LedgerUnavailable, SellertrustError
from service.cli.output import Exit
from service.settings import load

_REFUSALS = re.compile(
    r"FATAL: +(password authentication failed .*|(?:database|role) .* does not exist|no pg_hba\.conf entry .*"
    r"|.* is not permitted to log in|permission denied for database .*|.* authentication failed .*)|(no password supplied)"
)


def explain_ledger_error(error: LedgerUnavailable) -> tuple[Exit, str, str]:
    """Return (exit code, problem, remedy) for a ledger that cannot be reached.

    CONFIGURATION if PostgreSQL answers and refuses the user, password or database of the URL; else UNAVAILABLE.
    """
    place = _place()
    if not place:
        return Exit.UNAVAILABLE, error.message, ""
    cause = str(getattr(error.__cause__, "orig", None) or error.__cause__ or "")
    if found := _REFUSALS.search(cause):
        remedy = "name a user, password and database that it knows by SELLERTRUST_DATABASE_URL"
        return Exit.CONFIGURATION, f"PostgreSQL at {place} refuses: {found[1] or found[2]}", remedy
    remedy = f"does PostgreSQL run at {place}, as SELLERTRUST_DATABASE_URL says? look: sellertrust doctor"
    return Exit.UNAVAILABLE, error.message, remedy


def _place() -> str:
    """Return host and port of the configured PostgreSQL, never its password.

    Empty if it is none.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(load().database_url)
    except (SellertrustError, ArgumentError):
        return ""
    if url.get_backend_name() == "sqlite":
        return ""
    host = url.host or url.query.get("host") or "the local socket"
    return f"{host}, port {url.port or url.query.get('port') or 5432}"
