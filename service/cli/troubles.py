"""The operator's problem and remedy when PostgreSQL rejects logins or is silent.

Callers never learn its host and port.
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
    """Return (exit code, problem, remedy) for an unreachable ledger.

    CONFIGURATION if PostgreSQL rejects the URL's user, password or database; else UNAVAILABLE.
    """
    address = _find_database_address()
    if not address:
        return Exit.UNAVAILABLE, error.message, ""
    cause = str(getattr(error.__cause__, "orig", None) or error.__cause__ or "")
    if match := _REFUSALS.search(cause):
        remedy = "name a user, password and database that it knows by SELLERTRUST_DATABASE_URL"
        return Exit.CONFIGURATION, f"PostgreSQL at {address} refuses: {match[1] or match[2]}", remedy
    remedy = f"does PostgreSQL run at {address}, as SELLERTRUST_DATABASE_URL says? look: sellertrust doctor"
    return Exit.UNAVAILABLE, error.message, remedy


def _find_database_address() -> str:
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
