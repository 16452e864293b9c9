"""Bulk decisions: one action on every violation that a selection names, but for a random sample left to a person.

Each change has an entry id made of the decision's id and the violation's, so that a call again recognises what is done
and goes on. What is selected is judged by where each violation stood before this decision: the set, its sample and its
etag stay the same while the decision is carried out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from scoring.entries import Entry, prepare
from scoring.errors import (
    EntryContentDiffers,
    FieldViolation,
    InvalidInput,
    LifecycleForbids,
    SelectionChanged,
    invalid,
)
from scoring.kinds import StatusChanged
from scoring.lifecycle import TRANSITIONS
from scoring.shapes import ID_FORM, is_id
from scoring.time import MAX_TIME
from scoring.words import Action, Attribution, Status
from service.ledger import Cut, Ledger, Selection, notifiers
from service.ledger.notifiers import Change

BULK_ACTIONS = (Action.REVIEW, Action.CONFIRM, Action.DISMISS, Action.WITHDRAW, Action.OVERTURN)
MOST_SELECTED = 100_000
MOST_A_CALL = 10_000
BATCH = 2_000
"""Entries appended at once: the ledger's lock is held for a fraction of a second, and others come in between."""

SAMPLE_FRACTION = 0.05
_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, by whom and why, to which violations. `statuses`: empty for all that allow the action."""

    decision_id: str
    action: Action
    actor: str
    reason: str
    ground: str
    selection: Selection
    statuses: tuple[Status, ...] = ()
    sample_fraction: float = SAMPLE_FRACTION
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Selected:
    """One selected violation: where it stood before this decision, and whether this decision has changed it already."""

    violation: str
    status: Status
    done: bool
    held_back: bool = False

    @property
    def is_to_do(self) -> bool:
        """Whether an entry is still to be appended: what is held back is reviewed if it is alleged, else left as it is."""
        return not self.done and (not self.held_back or self.status is Status.ALLEGED)


@dataclass(slots=True)
class Outcome:
    """What a bulk decision selects, and how far it has come. `etag` stands for the set of violations."""

    selected: Sequence[Selected]
    etag: str
    appended: set[str] = field(default_factory=set)

    @property
    def by_status(self) -> Mapping[Status, int]:
        """Selected violations by the status before this decision."""
        return Counter(one.status for one in self.selected)

    @property
    def held_back(self) -> list[str]:
        """The sample that is left to a person."""
        return [one.violation for one in self.selected if one.held_back]

    @property
    def others(self) -> list[str]:
        """What is decided, or would be."""
        return [one.violation for one in self.selected if not one.held_back]

    @property
    def decided(self) -> int:
        """Violations decided by this decision so far, without those held back."""
        return sum(not one.held_back and (one.done or one.violation in self.appended) for one in self.selected)

    @property
    def remaining(self) -> int:
        """Entries that are still to be appended."""
        return sum(one.is_to_do and one.violation not in self.appended for one in self.selected)


def entry_id_of(decision_id: str, violation: str) -> str:
    """The id of the change that a bulk decision makes to a violation, the same each time."""
    return "bulk~" + sha256(f"{decision_id}\x1f{violation}".encode()).hexdigest()[:32]


def check(decision: Decision) -> None:
    """InvalidInput names what is wrong with a decision, by the fields of the contract's request."""
    wrong = []
    if not is_id(decision.decision_id):
        wrong.append(FieldViolation("decision_id", f"must be {ID_FORM}"))
    if decision.action not in BULK_ACTIONS:
        known = ", ".join(action.name.lower() for action in BULK_ACTIONS)
        wrong.append(FieldViolation("action", f"must be one of {known}; decide anything else one by one"))
    else:
        wrong += _wrong_change(decision)
        allowing = _allowing(decision.action)
        if not {*decision.statuses} <= allowing:
            allowed = ", ".join(sorted(status.name.lower() for status in allowing))
            wrong.append(FieldViolation("statuses", f"must allow the action: {allowed}"))
    if decision.selection == Selection():
        text = "must be stated, or notifier, seller, listing, right, reported_from or reported_before"
        wrong.append(FieldViolation("violation_types", text))
    for name in ("notifier", "listing", "right"):
        if (value := getattr(decision.selection, name)) and not is_id(value):
            wrong.append(FieldViolation(name, f"must be {ID_FORM}"))
    if not 0 < decision.sample_fraction <= 1:
        wrong.append(FieldViolation("sample_fraction", "must lie above 0 and be at most 1; 0 stands for 0.05"))
    if wrong:
        raise InvalidInput(wrong)


def dry_run(ledger: Ledger, marketplace: str, decision: Decision) -> Outcome:
    """What a decision selects, and which of it is held back. InvalidInput; EntryContentDiffers if the id stands for
    another action.
    """
    check(decision)
    found = list(_selected(ledger, marketplace, ledger.cut(), decision))
    lots = {one.violation: _lot(decision.seed, one.violation) for one in found}
    sample = {name for name, lot in lots.items() if lot < decision.sample_fraction}
    if lots:
        sample.add(min(lots, key=lambda name: (lots[name], name)))
    # What is done stays done: of a set that has grown since, another one may draw the lowest lot.
    chosen = [
        Selected(one.violation, one.status, one.done, one.held_back if one.done else one.violation in sample)
        for one in found
    ]
    names = "\x1f".join(sorted(lots))
    return Outcome(chosen, sha256(names.encode()).hexdigest()[:16])


def execute(
    ledger: Ledger, marketplace: str, decision: Decision, expected_count: int, etag: str = "", most: int = MOST_A_CALL
) -> Outcome:
    """Carries a decision out, at most `most` entries a call, in batches that are each appended whole or not at all.

    SelectionChanged if the set is not what the dry run showed, or changes meanwhile; what was appended by then stays.
    """
    outcome = dry_run(ledger, marketplace, decision)
    _require_same(outcome, expected_count, etag)
    to_do = [one for one in outcome.selected if one.is_to_do][:most]
    for begin in range(0, len(to_do), BATCH):
        part = to_do[begin : begin + BATCH]
        try:
            ledger.append(marketplace, [_change(decision, one) for one in part])
        except LifecycleForbids:  # somebody decided one of them a moment ago
            _require_same(dry_run(ledger, marketplace, decision), expected_count, outcome.etag)
            raise
        outcome.appended.update(one.violation for one in part)
    return outcome


def _require_same(outcome: Outcome, expected_count: int, etag: str) -> None:
    count = len(outcome.selected)
    if count != expected_count or (etag and etag != outcome.etag):
        raise SelectionChanged(
            f"the selection holds {count:,} violations by now, and not the {expected_count:,} that were expected, or"
            " others; look at them by another dry run and state its count and etag",
            {"count": str(count), "etag": outcome.etag},
        )


def _wrong_change(decision: Decision) -> Iterator[FieldViolation]:
    """What is wrong with the change itself: checked on one that is made up, so that a dry run tells too."""
    try:
        prepare(_change(decision, Selected("v", Status.ALLEGED, False)), MAX_TIME)
    except InvalidInput as error:
        for one in error.violations:
            name = one.field.rsplit(".", 1)[-1]
            if name != "entry_id":  # made of the decision's id, which is told by itself
                yield FieldViolation(name, one.description)


def _allowing(action: Action) -> set[Status]:
    """The statuses that allow an action."""
    return {status for status, allowed in TRANSITIONS if allowed is action}


def _change(decision: Decision, one: Selected) -> Entry:
    action = Action.REVIEW if one.held_back else decision.action
    fact = StatusChanged(
        one.violation, action, decision.actor, decision.reason, ground=decision.ground, held_back=one.held_back
    )
    return Entry(entry_id_of(decision.decision_id, one.violation), "", fact)


def _lot(seed: int, violation: str) -> float:
    """A number from 0 to below 1 that a violation draws, the same each time."""
    drawn = sha256(f"{seed}\x1f{violation}".encode()).digest()
    return int.from_bytes(drawn[:6], "big") / 2**48


def _selected(ledger: Ledger, marketplace: str, cut: Cut, decision: Decision) -> Iterator[Selected]:
    """The violations of the selection that this decision may change, or has changed, by the sequence of their reports."""
    wanted = {*decision.statuses} or _allowing(decision.action)
    after = count = 0
    while True:
        page = ledger.read(notifiers.selected, marketplace, cut, decision.selection, after, _PAGE)
        names = [violation for _, violation, _ in page]
        changes = ledger.read(notifiers.histories, marketplace, cut.sequence, names)
        for _, violation, status in page:
            found = _standing(decision, violation, Status(status), changes.get(violation, ()))
            if found is not None and found.status in wanted:
                count += 1
                yield found
        if count > MOST_SELECTED:
            raise invalid(
                "violation_types", f"and the other conditions select over {MOST_SELECTED:,}; state more of them"
            )
        if len(page) < _PAGE:
            return
        after = page[-1][0]


def _standing(decision: Decision, violation: str, status: Status, changes: Sequence[Change]) -> Selected | None:
    """Where a violation stood before this decision; None if it is a person's to decide, or as if never reported."""
    own = entry_id_of(decision.decision_id, violation)
    is_away = is_left_to_a_person = False
    for change in changes:
        if change.entry_id == own:
            if change.action is not decision.action and not change.held_back:
                raise EntryContentDiffers(
                    f"decision_id: {decision.decision_id!r} stands for another action; give a new decision a new id",
                    {"entry_id": own},
                )
            return Selected(violation, status, True, change.held_back)
        if change.action is None:
            is_away = change.status == Attribution.ACCEPTED
        else:
            status, is_left_to_a_person = Status(change.status), change.held_back
    return None if is_away or is_left_to_a_person else Selected(violation, status, False)
