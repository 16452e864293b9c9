from scoring.base.frozen import frozen


@frozen
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
        bound = {} if self.threshold is None else {"threshold": self.threshold}
        signature = {"signed": True} if self.signed and not self.ok else {}
        return {"check": self.check, "ok": self.ok, "number": self.number, **bound, **signature, "text": self.text}
