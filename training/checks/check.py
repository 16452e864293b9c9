"""Checks of what a model is to learn from: of the data, and of leaks from the future into it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One check: whether it holds, its figure, what bounds it (if anything), and what it says in a sentence."""

    check: str
    ok: bool
    number: float
    text: str
    threshold: float | None = None

    def as_dict(self) -> dict[str, object]:
        """As the evaluation shows it."""
        bound = {} if self.threshold is None else {"threshold": self.threshold}
        return {"check": self.check, "ok": self.ok, "number": self.number, **bound, "text": self.text}
