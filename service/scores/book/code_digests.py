import ast
import inspect
from functools import cache
from hashlib import sha256
from pathlib import Path

import scoring
from sellertrust.v1 import trust_score_service_pb2
from service.contract import scores
from service.ledger.queries import facts
from service.scores import scorer

_OURS = {"scoring", "service", "sellertrust"}


@cache
def core_digest() -> str:
    """Return the SHA-256, in hex, of the code that reads facts and scores them.

    Raises FileNotFoundError if the package has no sources.
    """
    sources = [*Path(inspect.getfile(scoring)).parent.rglob("*.py")]
    sources += [Path(inspect.getfile(module)) for module in (facts, scorer)]
    sources.append(Path(inspect.getfile(scorer)).with_name("extract.py"))  # not imported: servers need no polars
    digests = {digest_code(source.read_bytes()) for source in sources}
    return sha256("".join(sorted(digests)).encode()).hexdigest()


def digest_code(source: str | bytes) -> str:
    """Return the SHA-256, in hex, of a module's syntax tree.

    Comments, docstrings, and the places of imported own modules are left out.
    """
    tree = _ImportPlaceRemover().visit(ast.parse(source))
    return sha256(ast.dump(tree).encode()).hexdigest()


class _ImportPlaceRemover(ast.NodeTransformer):
    """Drops docstrings and the places of imported own modules, and sorts imports."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        self.generic_visit(node)
        imports = [statement for statement in node.body if isinstance(statement, ast.Import | ast.ImportFrom)]
        statements = [statement for statement in node.body if not isinstance(statement, ast.Import | ast.ImportFrom)]
        node.body = [*sorted(imports, key=ast.dump), *statements]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if (node.module or "").split(".")[0] in _OURS:
            node.module = None
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node


@cache
def contract_digest() -> str:
    """Return the SHA-256, in hex, of the contract's TrustScore and the code that fills it."""
    file = trust_score_service_pb2.DESCRIPTOR
    parts = [file.serialized_pb, *(other.serialized_pb for other in file.dependencies)]
    code = digest_code(Path(inspect.getfile(scores)).read_bytes())
    return sha256(b"".join([*parts, code.encode()])).hexdigest()
