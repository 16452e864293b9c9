"""Promotions that two persons approved."""

from collections.abc import Sequence

from scoring.base.errors import ApprovalRequired, ProposalClosed
from service.call_context import Approval
from service.registry.gates import GATES
from service.registry.moves import CHAMPION, Move, aliases_of, figure_of

GATES_FIGURE = f"{GATES.partition('.')[0]}_sha256"
"""The SHA-256 of a model's gates."""


def basis_of(moves: Sequence[Move], digest: str) -> dict[str, str]:
    """Return the basis of a promotion: `champion`, the number of its moves, and the SHA-256 of the model's gates.

    The first and the last are "" without one. A rollback raises the number of moves.
    """
    champion = aliases_of(moves).get(CHAMPION) or ""
    moved = str(sum(move.alias == CHAMPION for move in moves))
    return {
        "champion": champion,
        "champion_moves": moved,
        GATES_FIGURE: str(figure_of(moves, digest, GATES_FIGURE) or ""),
    }


def require_basis(moves: Sequence[Move], digest: str, approval: Approval) -> None:
    """Raise ProposalClosed if the champion or the model's gates changed since the proposal."""
    present = basis_of(moves, digest)
    changed = [name for name, value in present.items() if approval.basis.get(name) != value]
    if changed:
        text = f"{' and '.join(_CHANGED[name] for name in changed)} since this was proposed; propose it anew"
        raise ProposalClosed(text, {"proposal": approval.proposal, "state": "OUTDATED"})


_CHANGED = {
    "champion": "the champion has changed",
    "champion_moves": "the champion was moved",
    GATES_FIGURE: "the model's gates have changed",
}


def is_done_by(moves: Sequence[Move], proposal: str) -> bool:
    return any(move.alias == CHAMPION and move.figures.get("proposal") == proposal for move in moves)


def refuse_return(moves: Sequence[Move]) -> None:
    """Raise ApprovalRequired for a rollback that would undo a rollback."""
    last = [move for move in moves if move.alias == CHAMPION][-1]
    if last.figures.get("rollback") == "yes":
        text = (
            "the present champion came by a rollback, and another one would bring back what that took back, which needs"
            " approval here; propose its promotion"
        )
        raise ApprovalRequired(text, {"right": "models", "proposal": "", "persons_missing": "2"})
