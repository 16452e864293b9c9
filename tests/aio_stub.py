"""Writes `aio.pyi`, the signatures of the asynchronous client, from the methods of the client.

python -m tests.aio_stub
"""

import ast
import subprocess
import sys
from pathlib import Path

from sellertrust.aio import METHODS

FOLDER = Path(__file__).parents[1] / "proto" / "sellertrust"
SOURCES = (
    "answers",
    "audit",
    "client",
    "decisions",
    "measures",
    "models",
    "network",
    "operations",
    "policies",
    "proposals",
    "review",
)
HEAD = """from collections.abc import AsyncIterable, AsyncIterator

from sellertrust.client import OnError, Use


class AsyncClient:
    channel: Any

    def __init__(
        self,
        target: str,
        *,
        deadline_seconds: float | None = None,
        tls: grpc.ChannelCredentials | str | Path | None = None,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        token: Token = None,
        service_config: Mapping[str, Any] | str | None = None,
        badge_seconds: float = 0.0,
    ) -> None: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...
"""


def stub() -> str:
    """Return the text of `aio.pyi`, unformatted."""
    imports, methods = [], {}
    for name in SOURCES:
        tree = ast.parse((FOLDER / f"{name}.py").read_text())
        imports += [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        imports.append(
            f"from sellertrust.{name} import {', '.join(n.name for n in tree.body if isinstance(n, ast.ClassDef))}"
        )
        constants = [n.targets[0].id for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id[0] not in "_"]  # type: ignore[attr-defined]
        if constants:
            imports.append(f"from sellertrust.{name} import {', '.join(constants)}")
        functions = (node for kind in tree.body if isinstance(kind, ast.ClassDef) for node in kind.body)
        methods |= {node.name: node for node in functions if isinstance(node, ast.FunctionDef) and node.name in METHODS}
    text = "\n".join([*imports, HEAD])
    for _, node in sorted(methods.items()):
        lists = ast.unparse(node.returns or node).startswith("Iterator")
        node.body = [ast.Expr(ast.Constant(...))]
        signature = ast.unparse(node).replace(
            "batches: Iterable", "batches: AsyncIterable[Sequence[entry_pb2.Entry]] | Iterable"
        )
        text += "\n" + "\n".join(
            f"    {line}"
            for line in (
                signature.replace("-> Iterator", "-> AsyncIterator") if lists else f"async {signature}"
            ).splitlines()
        )
    return text


def formatted(text: str) -> str:
    for command in (("check", "--fix-only", "--select", "F401,I,F811,UP037"), ("format",)):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", "proto/sellertrust/aio.pyi", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=FOLDER.parents[1],
        )
        text = done.stdout
    return text


if __name__ == "__main__":
    (FOLDER / "aio.pyi").write_text(formatted(stub()))
