"""Promotions that two persons approved: what they rest upon, that each is done once, and what a rollback may not do."""

from collections.abc import Sequence

from scoring.errors import ApprovalRequired, ProposalClosed
from service.call_context import Approval
from service.registry.gates import GATES
from service.registry.moves import CHAMPION, Move, aliases_of, figure_of

GATES_FIGURE = f"{GATES.partition('.')[0]}_sha256"
"""The figure that holds the SHA-256 of a model's gates."""


def basis_of(moves: Sequence[Move], digest: str) -> dict[str, str]:
    """Return what a promotion is decided upon: `champion`, how often that moved, and the SHA-256 of the model's gates.

    The first and the last are "" if there is none. A rollback brings the same champion back, but is one move more.
    """
    champion = aliases_of(moves).get(CHAMPION) or ""
    moved = str(sum(move.alias == CHAMPION for move in moves))
    return {
        "champion": champion,
        "champion_moves": moved,
        GATES_FIGURE: str(figure_of(moves, digest, GATES_FIGURE) or ""),
    }


def require_basis(moves: Sequence[Move], digest: str, approval: Approval) -> None:
    """Refuse a promotion, by ProposalClosed, whose basis has changed since it was proposed.

    The error states what has changed: the champion, or the model's gates.
    """
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
"""What an error states of each part of a basis that is another one now."""


def is_done_by(moves: Sequence[Move], proposal: str) -> bool:
    """Return whether a proposal's promotion is in the log already."""
    return any(move.alias == CHAMPION and move.figures.get("proposal") == proposal for move in moves)


def refuse_return(moves: Sequence[Move]) -> None:
    """Refuse, by ApprovalRequired, a rollback that would undo a rollback.

    What was taken back comes back by a promotion.
    """
    last = [move for move in moves if move.alias == CHAMPION][-1]
    if last.figures.get("rollback") == "yes":
        text = (
            "the present champion came by a rollback, and another one would bring back what that took back, which needs"
            " approval here; propose its promotion"
        )
        raise ApprovalRequired(text, {"right": "models", "proposal": "", "persons_missing": "2"})
