"""Four eyes: which calls need two persons behind them, who is a person, and who stands behind a proposal. Pure.

    [[persons]]
    person = "anna"
    principals = ["spiffe://acme.example/user/anna", "jwt:https://login.acme.example#anna"]

    [[four_eyes]]
    rights = ["models", "policies", "override", "bulk_decide"]
    marketplaces = ["*"]
    hours = 24

One person counts once, under however many names. Whom the file does not name is nobody: a service, or a further certificate
of somebody whom it does name. So nobody can be two, and a new name proves nothing until the file says whose it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.access.decision import Asked, GrantList, first_refused
from service.access.principals import LOCAL, Principal
from service.access.rights import Right
from service.ledger.append.proposals import Proposal, Step

PERSONS = 2
"""So many persons stand behind what needs four eyes."""

DEFAULT_HOURS = 24.0
MAX_HOURS = 168.0


@dataclass(frozen=True, slots=True)
class Person:
    """A person, and the names by which calls show that it is that one."""

    person: str
    """The person's id, the same for ever."""
    principals: tuple[str, ...]
    """Exact names of principals."""


@dataclass(frozen=True, slots=True)
class FourEyes:
    """Which rights need two persons, where, and for how long what they agreed upon holds."""

    rights: frozenset[Right]
    marketplaces: frozenset[str]
    """Ids of marketplaces; `*` for all."""
    hours: float = DEFAULT_HOURS
    """A proposal expires so long after it was made."""

    def covers(self, asked: Asked) -> bool:
        """Return whether the rule concerns what a call asks for: right and marketplace."""
        return asked.right in self.rights and not self.marketplaces.isdisjoint({"*", asked.marketplace or "*"})


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the grants file says of persons and of what needs two of them."""

    rules: tuple[FourEyes, ...] = ()
    person_of: Mapping[str, str] = field(default_factory=dict)
    """The id of the person by the name of a principal."""
    grants: GrantList = field(default_factory=GrantList)
    spoken_for: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The marketplaces that the tokens of an issuer speak for, by issuer."""

    def right_in_need(self, call: Sequence[Asked]) -> Right | None:
        """Return the first right by name that a call asks for and two persons must agree to.

        None if there is none. Whether a second person has agreed is not looked at.
        """
        found = {asked.right.value: asked.right for rule in self.rules for asked in call if rule.covers(asked)}
        return found[min(found)] if found else None

    def hours(self, call: Sequence[Asked]) -> float:
        """Return after how many hours a proposal of a call expires, by the strictest rule about it."""
        return min((rule.hours for rule in self.rules if any(map(rule.covers, call))), default=DEFAULT_HOURS)

    def person(self, caller: str) -> str:
        """Return the person whom a caller's principals show; "" if they show none, or two.

        A certificate of one person with a token of another shows that somebody has both, and not who.
        """
        found = {self.person_of[name] for name in caller.split() if name in self.person_of}
        return found.pop() if len(found) == 1 else ""

    def names_of(self, principals: Iterable[str]) -> frozenset[str]:
        """Return these names of principals, and all other names of each person whom one of them shows."""
        found = frozenset(principals)
        persons = {self.person_of[name] for name in found if name in self.person_of}
        return found.union(name for name, person in self.person_of.items() if person in persons)

    def persons_behind(self, proposal: Proposal, call: Sequence[Asked]) -> list[str]:
        """Return, for each step of a proposal, the person whom it puts behind the proposal, or "".

        `call` is what the proposed request asks for. Whoever proposed must be granted that still, and whoever approved to
        approve. A person counts for the first such step alone, so that the list names each at most once.
        """
        needed = {Step.PROPOSED: call, Step.APPROVED: [Asked(Right.APPROVE, proposal.marketplace)]}
        seen: list[str] = []
        for taken in proposal.steps:
            asked = needed.get(taken.step)
            person = self.person(taken.principal) if asked else ""
            is_new = bool(asked and person) and person not in seen
            counts = is_new and first_refused(self._principals(taken.principal), self.grants, asked or ()) is None
            seen.append(person if counts else "")
        return seen

    def may_see(self, caller: str, proposal: Proposal, call: Sequence[Asked]) -> bool:
        """Return whether a caller who may propose may look at a proposal.

        Who may do itself what the proposal asks for (`call`; nothing if it was erased), or may approve there; `local` any.
        """
        asked = [call, [Asked(Right.APPROVE, proposal.marketplace)]]
        principals = [replace(one, is_bound=True) for one in self._principals(caller)]  # to look is not to do
        return any(first_refused(principals, self.grants, one) is None for one in asked if one)

    def _principals(self, caller: str) -> list[Principal]:
        """Return the principals of a caller on record, as they would be if the same one called now."""
        return [self._principal(name) for name in caller.split()]

    def _principal(self, name: str) -> Principal:
        if name == LOCAL.name:
            return LOCAL
        if not name.startswith("jwt:"):
            return Principal(name, is_bound=True)
        issuer = name.removeprefix("jwt:").partition("#")[0]
        return Principal(name, is_bound=False, marketplaces=self.spoken_for.get(issuer, frozenset()))
