from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    check: str
    ok: bool
    number: float
    text: str
    threshold: float | None = None
    """None: no bound is shown."""

    def as_dict(self) -> dict[str, object]:
        bound = {} if self.threshold is None else {"threshold": self.threshold}
        return {"check": self.check, "ok": self.ok, "number": self.number, **bound, "text": self.text}
