"""Accounts: the balances of sellers' deposits and of adjudicated claims.

Draws and other recoveries for a claim never exceed the amount paid.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from scoring.base.arrays import MAX_TOTAL
from scoring.base.enums import ClaimChange, DepositChange
from scoring.base.errors import BalanceForbids, FieldPath
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.entries.kinds.settlement import ClaimChanged, DepositChanged


@frozen
class DepositAccount:
    """Amounts in minor units of `currency`."""

    held_minor: int = 0
    currency: str = ""
    """Empty if the balance is 0."""
    placed_minor: int = 0
    drawn_minor: int = 0

    def apply(self, fact: DepositChanged, path: FieldPath = ("deposit",)) -> "DepositAccount":
        """Return the account after a change.

        Raise BalanceForbids for a second currency or more than the balance. Worked: of 50,000 placed 20,000 are drawn;
        returning 30,001 fails and names 30,000.
        """
        if self.held_minor and fact.currency != self.currency:
            raise _build_currency_error(fact.currency, self.currency, self.held_minor, path)
        if fact.change is DepositChange.PLACED:
            _require_bounded(self.placed_minor + fact.amount_minor, fact.currency, path)
            total = self.held_minor + fact.amount_minor
            return replace(
                self, held_minor=total, currency=fact.currency, placed_minor=self.placed_minor + fact.amount_minor
            )
        if fact.amount_minor > self.held_minor:
            raise BalanceForbids(
                f"is more than the {self.held_minor} that the seller's deposit holds; state at most that",
                {"available_minor": str(self.held_minor), "currency": self.currency or fact.currency},
                (*path, "amount_minor"),
            )
        drawn = fact.amount_minor if fact.change is DepositChange.DRAWN else 0
        return replace(self, held_minor=self.held_minor - fact.amount_minor, drawn_minor=self.drawn_minor + drawn)


def list_balances(changes: Sequence[tuple[int, DepositChanged]], currency: str, time: int, days: int) -> list[int]:
    """Return the deposit held at a time, and at the end of each earlier UTC day, the latest first.

    It skips a change that its balance forbids: a cut may leave out the placement from which it took its amount.
    """
    balances = []
    for end in (time, *((time // DAY - ago) * DAY for ago in range(days))):
        account = DepositAccount()
        for occur_time, fact in changes:
            if occur_time < end:
                with suppress(BalanceForbids):
                    account = account.apply(fact)
        balances.append(account.held_minor if account.currency == currency else 0)
    return balances


@frozen
class ClaimBalance:
    currency: str = ""
    """Empty if the claim is not recorded."""
    paid_minor: int = 0
    recovered_minor: int = 0
    """Draws from the deposit included."""

    @property
    def open_minor(self) -> int:
        return self.paid_minor - self.recovered_minor

    def apply(self, fact: ClaimChanged | DepositChanged, path: FieldPath = ("claim",)) -> "ClaimBalance":
        """Return the claim after a payment, a recovery, or a draw from the deposit.

        Raise BalanceForbids for a second currency, or for more than is unrecovered.
        """
        if self.currency and fact.currency != self.currency:
            raise _build_currency_error(fact.currency, self.currency, self.open_minor, path)
        if isinstance(fact, ClaimChanged) and fact.change is ClaimChange.PAID:
            _require_bounded(self.paid_minor + fact.amount_minor, fact.currency, path)
            return replace(self, currency=fact.currency, paid_minor=self.paid_minor + fact.amount_minor)
        if fact.amount_minor > self.open_minor:
            is_there = f"has {self.open_minor} paid and not recovered"
            reason = is_there if self.currency else "is not on record for this seller"
            raise BalanceForbids(
                f"is more than the claim is open for: {fact.claim!r} {reason}; state at most that, or the payment first",
                {"available_minor": str(self.open_minor), "currency": self.currency or fact.currency},
                (*path, "amount_minor"),
            )
        return replace(self, recovered_minor=self.recovered_minor + fact.amount_minor)


def _require_bounded(total: int, currency: str, path: FieldPath) -> None:
    if total > MAX_TOTAL:
        text = f"brings what is on record to {total}, and the most is {MAX_TOTAL}; check the amount and its unit"
        raise BalanceForbids(text, {"available_minor": "0", "currency": currency}, (*path, "amount_minor"))


def _build_currency_error(stated: str, currency: str, available: int, path: FieldPath) -> BalanceForbids:
    return BalanceForbids(
        f"is {stated}, but what is on record is in {currency}; state the amount in {currency}",
        {"available_minor": str(available), "currency": currency},
        (*path, "currency"),
    )
