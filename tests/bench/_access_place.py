from pathlib import Path

from tests.helpers.callers import Authority, TokenIssuer, grant, write_grants


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder, self.authority, self.issuer = folder, Authority(folder), TokenIssuer(folder)
        self.grants = folder / "grants.toml"
        self.write("dns:a.example", "jwt:https://login.example#*")

    def write(self, *principals: str) -> None:
        every = {name: ["*"] for name in ("kinds", "sources", "notifiers", "entry_ids")}
        rights = ["append", "read_ledger", "read_scores"]
        write_grants(self.grants, self.issuer.table(), *(grant(one, rights, **every) for one in principals))
