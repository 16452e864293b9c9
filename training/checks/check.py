from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the data or of the rows."""

    check: str
    ok: bool
    number: float
    text: str
    threshold: float | None = None
    """The bound of the number; None: no bound is shown."""

    def as_dict(self) -> dict[str, object]:
        """Return the check as JSON values for the evaluation; without `threshold` if there is none."""
        bound = {} if self.threshold is None else {"threshold": self.threshold}
        return {"check": self.check, "ok": self.ok, "number": self.number, **bound, "text": self.text}
