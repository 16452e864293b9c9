"""Bulk decisions: one action on every violation that a selection names, but for a random sample left to a person.

Each change has an entry id made of the decision's id, its parameters and the violation's id, so that a call again
recognises what is done and goes on, and the same id with other parameters is refused. What is selected is judged by where
each violation stood before this decision: the set, its sample and its etag stay the same while the decision is carried out.

The sample holds, and nobody can choose it: a violation draws its lot by its report alone (its id, and the time at which the
ledger recorded it), so that every decision of the same share holds the same back, and a smaller share its own smaller part.
What is alleged is put under review with a mark besides, and no bulk decision takes it until a person has decided it.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256

from scoring.entries.entry import Entry, prepare
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.conduct import StatusChanged
from scoring.entries.lifecycle import TRANSITIONS
from scoring.entries.violation_state import RecordedChange, is_held_back_for_person
from scoring.enums import Action, Kind, Status
from scoring.errors import FieldViolation, InvalidInput, SelectionChanged, invalid
from scoring.time import MAX_TIME
from service.ledger.appending import BULK_ID_PREFIX, decision_id_taken_error
from service.ledger.notifiers import SelectedReport, Selection
from service.ledger.records import AsSeen, Cut
from service.ledger.store import Ledger

BULK_ACTIONS = (Action.REVIEW, Action.CONFIRM, Action.DISMISS, Action.WITHDRAW, Action.OVERTURN)
MAX_SELECTED = 100_000
MAX_PER_CALL = 10_000
BATCH = 2_000
"""Entries appended at once: the ledger's lock is held for a fraction of a second, and others come in between."""

SAMPLE_FRACTION = 0.05
_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class BulkDecision:
    """What is to be done to which violations, by whom and why."""

    decision_id: str
    """The caller's own id: a call again with it goes on where the one before ended."""
    action: Action
    """One of BULK_ACTIONS."""
    actor: str
    """Who decides."""
    reason: str
    """Why, in plain words."""
    ground: str
    """The legal or contractual ground; may be empty."""
    selection: Selection
    """Which violations."""
    statuses: tuple[Status, ...] = ()
    """Statuses to decide; empty for all that allow the action but DISMISSED, which is taken up again only if it is stated."""
    sample_fraction: float = SAMPLE_FRACTION
    """The share, above 0 and at most 1, that is drawn at random and left to a person."""


@dataclass(frozen=True, slots=True)
class Selected:
    """One selected violation."""

    violation: str
    """Its id."""
    status: Status
    """Where it stood before this decision."""
    done: bool
    """Whether this decision has changed it already."""
    held_back: bool = False
    """Whether it is left to a person."""
    changes: int = 0
    """Decisions about it on record when it was looked at."""
    lot: float = 0.0
    """From 0 to below 1; the lowest are held back."""
    reach: int = 0
    """Violations of sellers that are decided with it, if it is of a product."""

    @property
    def is_to_do(self) -> bool:
        """Return whether an entry about the violation is still to be appended.

        What is held back is put under review if it is alleged, else left as it is.
        """
        return not self.done and (not self.held_back or self.status is Status.ALLEGED)


@dataclass(slots=True)
class BulkOutcome:
    """What a bulk decision selects, and how far it has come."""

    selected: Sequence[Selected]
    """The selected violations, by the sequence of their reports."""
    etag: str
    """Stands for the set of violations and for all parameters but the decision's id."""
    appended: set[str] = field(default_factory=set)
    """Ids of the violations that this call has changed."""
    changed: list[str] = field(default_factory=list)
    """What somebody else decided after it was looked at, and so is left alone."""

    @property
    def by_status(self) -> Mapping[Status, int]:
        """Return the number of selected violations by their status before this decision."""
        return Counter(one.status for one in self.selected)

    @property
    def held_back(self) -> list[str]:
        """Return the ids of the violations in the sample that is left to a person."""
        return [one.violation for one in self.selected if one.held_back]

    @property
    def others(self) -> list[str]:
        """Return the ids of the violations that are decided, or would be: all but the sample."""
        return [one.violation for one in self.selected if not one.held_back]

    @property
    def decided(self) -> int:
        """Return how many violations this decision has decided so far, without those held back."""
        return sum(not one.held_back and (one.done or one.violation in self.appended) for one in self.selected)

    @property
    def remaining(self) -> int:
        """Return how many entries are still to be appended."""
        gone = self.appended.union(self.changed)
        return sum(one.is_to_do and one.violation not in gone for one in self.selected)

    @property
    def reach(self) -> int:
        """Return how many violations of sellers are decided along with those of products.

        Those derived from the selected ones, without those held back.
        """
        return sum(one.reach for one in self.selected if not one.held_back)


def parameters_of(decision: BulkDecision) -> str:
    """Return a digest, 16 hexadecimal digits, of all parameters of a decision but its id."""
    stated = asdict(decision) | {"decision_id": "", "statuses": sorted(decision.statuses)}
    return _digest(json.dumps(stated, sort_keys=True), 16)


def prefix_of(decision: BulkDecision) -> str:
    """Return how the ids of all entries under a decision's id begin.

    `bulk~`, a digest of the id, and `~`; the digest of the parameters follows.
    """
    return f"{BULK_ID_PREFIX}{_digest(decision.decision_id, 16)}~"


def own_prefix_of(decision: BulkDecision) -> str:
    """Return how the ids of the entries of a decision with these very parameters begin.

    The prefix of its id, the digest of its parameters, and `~`.
    """
    return f"{prefix_of(decision)}{parameters_of(decision)}~"


def entry_id_of(decision: BulkDecision, violation: str) -> str:
    """Return the id of the ledger entry by which a bulk decision changes one violation.

    The same each time: the prefix of the decision and a digest of the violation.
    """
    return f"{own_prefix_of(decision)}{_digest(violation, 32)}"


def _digest(text: str, digits: int) -> str:
    return sha256(text.encode()).hexdigest()[:digits]


def check(decision: BulkDecision) -> None:
    """Check the parameters of a bulk decision; nothing is read.

    InvalidInput names each wrong one: id, action and what it asks for, statuses that do not allow it, an empty or
    malformed selection, sample fraction.
    """
    wrong = []
    if not is_id(decision.decision_id):
        wrong.append(FieldViolation(("decision_id",), f"must be {ID_FORM}"))
    if decision.action not in BULK_ACTIONS:
        known = ", ".join(action.name.lower() for action in BULK_ACTIONS)
        wrong.append(FieldViolation(("action",), f"must be one of {known}; decide anything else one by one"))
    else:
        wrong += _wrong_change(decision)
        allowing = _statuses_allowing(decision.action)
        if not {*decision.statuses} <= allowing:
            allowed = ", ".join(sorted(status.name.lower() for status in allowing))
            wrong.append(FieldViolation(("statuses",), f"must allow the action: {allowed}"))
    if decision.selection == Selection():
        text = "must be stated, or notifier, seller, listing, right, reported_from or reported_before"
        wrong.append(FieldViolation(("violation_types",), text))
    for name in ("notifier", "listing", "right"):
        if (value := getattr(decision.selection, name)) and not is_id(value):
            wrong.append(FieldViolation((name,), f"must be {ID_FORM}"))
    if not 0 < decision.sample_fraction <= 1:
        wrong.append(FieldViolation(("sample_fraction",), "must lie above 0 and be at most 1; 0 stands for 0.05"))
    if wrong:
        raise InvalidInput(wrong)


def dry_run(ledger: Ledger, marketplace: str, decision: BulkDecision) -> BulkOutcome:
    """Return what a bulk decision would select and hold back; nothing is appended.

    Raises InvalidInput for wrong parameters; EntryContentDiffers if the id stands for another decision.
    """
    check(decision)
    _require_own_id(ledger, marketplace, decision)
    found = list(_select(ledger, marketplace, ledger.cut(), decision))
    sample = {one.violation for one in found if one.lot < decision.sample_fraction}
    for is_alleged in (True, False):  # of which the latter cannot be marked
        group = [one for one in found if (one.status is Status.ALLEGED) is is_alleged]
        if group:
            sample.add(min(group, key=lambda one: (one.lot, one.violation)).violation)
    # What is done stays done: of a set that has grown since, another one may draw the lowest lot.
    chosen = [one if one.done else replace(one, held_back=one.violation in sample) for one in found]
    names = "\x1f".join([parameters_of(decision), *sorted(one.violation for one in found)])
    return BulkOutcome(chosen, _digest(names, 16))


def execute(
    ledger: Ledger,
    marketplace: str,
    decision: BulkDecision,
    expected_count: int,
    etag: str = "",
    limit: int = MAX_PER_CALL,
) -> BulkOutcome:
    """Append the entries of a bulk decision, at most `limit`; return how far it has come.

    In batches that are each appended whole or not at all; call it again while entries remain. Raises SelectionChanged if
    the set, or with an `etag` the decision, is not what the dry run showed; InvalidInput and EntryContentDiffers as in
    the dry run.
    """
    outcome = dry_run(ledger, marketplace, decision)
    _require_same(outcome, expected_count, etag)
    to_do = [one for one in outcome.selected if one.is_to_do][:limit]
    for begin in range(0, len(to_do), BATCH):
        part = {(change := _change(decision, one)).entry_id: (one, change) for one in to_do[begin : begin + BATCH]}
        seen = {name: one for name, (one, _) in part.items()}
        as_seen = AsSeen(
            decision.decision_id,
            prefix_of(decision),
            own_prefix_of(decision),
            {name: (one.violation, one.changes) for name, one in seen.items()},
        )
        appended = ledger.append(marketplace, [change for _, change in part.values()], as_seen=as_seen)
        taken = {one.entry_id for one in appended}
        outcome.appended.update(one.violation for name, one in seen.items() if name in taken)
        outcome.changed += [one.violation for name, one in seen.items() if name not in taken]
    return outcome


def _require_own_id(ledger: Ledger, marketplace: str, decision: BulkDecision) -> None:
    """Raise EntryContentDiffers if this decision's id stands for entries of another decision."""
    prefix = prefix_of(decision)
    for name in ledger.ends_of_ids(marketplace, prefix, prefix + "g"):  # after all hexadecimal digits
        if not name.startswith(own_prefix_of(decision)):
            raise decision_id_taken_error(decision.decision_id, name)


def _require_same(outcome: BulkOutcome, expected_count: int, etag: str) -> None:
    count = len(outcome.selected)
    if count != expected_count:
        problem = f"the selection holds {count:,} violations by now, and not the {expected_count:,} that were expected"
    elif etag and etag != outcome.etag:
        problem = (
            f"the etag is not that of this decision: of the {count:,} violations selected some are others than the dry run"
            " showed, or they are to be decided in another way"
        )
    else:
        return
    raise SelectionChanged(
        f"{problem}; look at them by another dry run and state its count and etag",
        {"count": str(count), "etag": outcome.etag},
    )


def _wrong_change(decision: BulkDecision) -> Iterator[FieldViolation]:
    """Yield what is wrong with the change itself.

    It is checked on a made-up violation so that a dry run finds it too.
    """
    try:
        prepare(_change(decision, Selected("v", Status.ALLEGED, False)), MAX_TIME)
    except InvalidInput as error:
        for one in error.violations:
            if one.path[-1] != "entry_id":  # made of the decision's id, which is named by itself
                yield FieldViolation(one.path[-1:], one.description)


def _statuses_allowing(action: Action) -> set[Status]:
    """Return the statuses that allow an action."""
    return {status for status, allowed in TRANSITIONS if allowed is action}


def _change(decision: BulkDecision, one: Selected) -> Entry:
    action = Action.REVIEW if one.held_back else decision.action
    fact = StatusChanged(
        one.violation, action, decision.actor, decision.reason, ground=decision.ground, held_back=one.held_back
    )
    return Entry(entry_id_of(decision, one.violation), "", fact)


def _lot(report: SelectedReport) -> float:
    """Return the number from 0 to below 1 that a violation draws, the same each time."""
    drawn = sha256(f"report\x1f{report.record_time}\x1f{report.violation}".encode()).digest()
    return int.from_bytes(drawn[:6], "big") / 2**48


def _select(ledger: Ledger, marketplace: str, cut: Cut, decision: BulkDecision) -> Iterator[Selected]:
    """Yield the violations that this decision may change, or has changed.

    By the sequence of their reports.
    """
    wanted = {*decision.statuses} or _statuses_allowing(decision.action) - {Status.DISMISSED}
    prefix = own_prefix_of(decision)
    after = count = 0
    while True:
        page = ledger.selected(marketplace, cut, decision.selection, after, _PAGE)
        of_products = [report.violation for report in page if report.state.kind is Kind.PRODUCT_VIOLATION]
        reached = ledger.reached(marketplace, cut.sequence, of_products)
        names = [report.violation for report in page] + [name for names in reached.values() for name in names]
        changes = ledger.histories(marketplace, cut.sequence, names)
        for report in page:
            sellers = reached.get(report.violation, ())
            found = _state_before(prefix, report, changes.get(report.violation, ()))
            if found is None or found.status not in wanted:
                continue
            if not found.done and any(is_held_back_for_person(changes.get(name, ())) for name in sellers):
                continue
            count += 1
            yield replace(found, lot=_lot(report), reach=len(sellers))
        if count > MAX_SELECTED:
            raise invalid(
                "violation_types", f"and the other conditions select over {MAX_SELECTED:,}; state more of them"
            )
        if len(page) < _PAGE:
            return
        after = page[-1].sequence


def _state_before(prefix: str, report: SelectedReport, changes: Sequence[RecordedChange]) -> Selected | None:
    """Return where a violation stood before the decision.

    None if it is a person's to decide, or as if never reported. The ids of the decision's own entries begin with
    `prefix`.
    """
    state = report.state
    for change in changes:
        if change.entry_id.startswith(prefix):
            return Selected(report.violation, state.status, True, change.held_back)
        state = state.apply(change)
    if state.is_of_another_seller or state.is_held_back:
        return None
    return Selected(report.violation, state.status, False, changes=state.decision_count)
