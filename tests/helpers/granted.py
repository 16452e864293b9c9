from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sellertrust.client import Client
from tests.helpers.callers import Authority, Shown, TokenIssuer, write_grants
from tests.helpers.servers import Running, running_server

EVERY = {name: ["*"] for name in ("kinds", "sources", "notifiers", "entry_ids", "actions")}
"""The limits of a grant that limits nothing but the marketplace."""


class Granted:
    def __init__(self, running: Running, authority: Authority, issuer: TokenIssuer) -> None:
        self.running, self.authority, self.issuer = running, authority, issuer
        self._shown: dict[str, Shown] = {}

    def shown(self, name: str) -> Shown:
        if name not in self._shown:
            uris, dns = ([name], []) if ":" in name else ([], [f"{name}.example"])
            self._shown[name] = self.authority.certificate(uris, dns)
        return self._shown[name]

    def __call__(self, name: str, **options: Any) -> Client:
        return self.running.client(**self.shown(name).options(), **options)


@contextmanager
def granted_server(folder: Path, *tables: str, **settings: Any) -> Iterator[Granted]:
    authority, issuer, grants = Authority(folder), TokenIssuer(folder), folder / "grants.toml"
    write_grants(grants, issuer.table(), *tables)
    asked = {"grants": grants, "socket": folder / "s", **authority.server_settings(), **settings}
    with running_server(folder, **asked) as running:
        yield Granted(running, authority, issuer)
