"""Four eyes: calls that need two persons, and who supports a proposal; docs/how-to/access.md shows the file. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from scoring.base.frozen import frozen
from service.access.decision import GrantList, NeededRight, first_refused
from service.access.principals import LOCAL, Principal
from service.access.rights import Right
from service.ledger.append.proposals import Proposal, ProposalStep

PERSONS = 2

DEFAULT_HOURS = 24.0
MAX_HOURS = 168.0


@frozen
class Person:
    person: str
    principals: tuple[str, ...]


@frozen
class FourEyes:
    rights: frozenset[Right]
    marketplaces: frozenset[str]
    hours: float = DEFAULT_HOURS

    def covers(self, needed: NeededRight) -> bool:
        """Return whether two persons must agree to a call that needs this right there."""
        return needed.right in self.rights and not self.marketplaces.isdisjoint({"*", needed.marketplace or "*"})


@frozen
class Agreement:
    rules: tuple[FourEyes, ...] = ()
    person_of: Mapping[str, str] = field(default_factory=dict)
    grants: GrantList = field(default_factory=GrantList)
    spoken_for: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def find_right_needing_two(self, call: Sequence[NeededRight]) -> Right | None:
        """Return the first right, by name, that two persons must agree to; None if none."""
        covered = {needed.right for rule in self.rules for needed in call if rule.covers(needed)}
        return min(covered, key=lambda right: right.value, default=None)

    def proposal_hours(self, call: Sequence[NeededRight]) -> float:
        """Return how many hours a proposal of this call stays open, by the shortest rule; 24 without one."""
        return min((rule.hours for rule in self.rules if any(map(rule.covers, call))), default=DEFAULT_HOURS)

    def find_person(self, caller: str) -> str:
        """Return the person of a caller's principals, which have blanks between them; "" if they show none or two."""
        persons = {self.person_of[name] for name in caller.split() if name in self.person_of}
        return persons.pop() if len(persons) == 1 else ""

    def names_of_persons(self, principals: Iterable[str]) -> frozenset[str]:
        names = frozenset(principals)
        persons = {self.person_of[name] for name in names if name in self.person_of}
        return names.union(name for name, person in self.person_of.items() if person in persons)

    def find_shared_names(self, principals: Sequence[str]) -> frozenset[str]:
        """Return the certificate beside a token, as at a desk; none if it is a person's."""
        tokens = {name for name in principals if name.startswith("jwt:")}
        return frozenset(principals) - tokens - self.person_of.keys() if tokens else frozenset()

    def persons_behind(self, proposal: Proposal, call: Sequence[NeededRight]) -> list[str]:
        """Return, per step of a proposal, the person whose support it adds, or "".

        `call` is the proposed request. The author must still have its rights, and an approver the right to approve. A
        person counts only once.
        """
        needed_rights = {
            ProposalStep.PROPOSED: call,
            ProposalStep.APPROVED: [NeededRight(Right.APPROVE, proposal.marketplace)],
        }
        persons: list[str] = []
        for step in proposal.steps:
            needed = needed_rights.get(step.step)
            person = self.find_person(step.principal) if needed else ""
            is_new = bool(needed and person) and person not in persons
            principals = self._make_principals(step.principal)
            is_counted = is_new and first_refused(principals, self.grants, needed or ()) is None
            persons.append(person if is_counted else "")
        return persons

    def may_see(self, caller: str, proposal: Proposal, call: Sequence[NeededRight]) -> bool:
        """Return whether a caller who may propose may see a proposal.

        The caller must have the rights of the request (`call`; nothing if erased) or may approve there; `local` sees
        any.
        """
        sufficient = [call, [NeededRight(Right.APPROVE, proposal.marketplace)]]
        principals = [replace(principal, is_bound=True) for principal in self._make_principals(caller)]
        return any(first_refused(principals, self.grants, rights) is None for rights in sufficient if rights)

    def _make_principals(self, caller: str) -> list[Principal]:
        return [self._make_principal(name) for name in caller.split()]

    def _make_principal(self, name: str) -> Principal:
        """Return the principal of a recorded name, as if its connection proved a certificate's."""
        if name == LOCAL.name:
            return LOCAL
        if not name.startswith("jwt:"):
            return Principal(name, is_bound=True)
        issuer = name.removeprefix("jwt:").partition("#")[0]
        return Principal(name, is_bound=False, marketplaces=self.spoken_for.get(issuer, frozenset()))
