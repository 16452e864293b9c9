from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    check: str
    ok: bool
    number: float
    text: str
    threshold: float | None = None
    """None: no bound is shown."""
    signed: bool = False
    """If it is not ok, a person's signature is enough."""

    def as_dict(self) -> dict[str, object]:
        """Return JSON values: `threshold` if it has one, `signed` if it failed and a signature is enough."""
        bound = {} if self.threshold is None else {"threshold": self.threshold}
        asked = {"signed": True} if self.signed and not self.ok else {}
        return {"check": self.check, "ok": self.ok, "number": self.number, **bound, **asked, "text": self.text}
