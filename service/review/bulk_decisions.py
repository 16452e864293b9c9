"""Bulk decisions: one action on every violation that a selection names, except a random sample left to a person.

The entry id of each change is made of the decision's id, its parameters and the violation's id. A repeated call
therefore continues. The selection uses each violation's state before this decision, so set, sample and etag stay the
same while it runs.

Each violation's lot depends only on its report (its id and record time), so no one can choose the sample.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from operator import attrgetter

from scoring.base.enums import Action, Kind, Status
from scoring.base.errors import FieldViolation, InvalidInput, SelectionChanged, invalid
from scoring.base.frozen import frozen
from scoring.base.time import MAX_TIME
from scoring.entries.entry import Entry, prepare
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.conduct import StatusChanged
from scoring.entries.lifecycle import TRANSITIONS
from scoring.entries.violation_state import RecordedChange, is_held_back_for_person
from service.ledger.append.appending import BULK_ID_PREFIX
from service.ledger.queries.violations import SelectedReport, Selection
from service.ledger.records import BulkCondition, Cut
from service.ledger.store import Ledger

BULK_ACTIONS = (Action.REVIEW, Action.CONFIRM, Action.DISMISS, Action.WITHDRAW, Action.OVERTURN)
MAX_SELECTED = 100_000
MAX_PER_CALL = 10_000
BATCH = 2_000
"""The ledger's lock is held for a fraction of a second."""

SAMPLE_FRACTION = 0.05
_PAGE = 10_000


@frozen
class BulkDecisionCall:
    decision_id: str
    action: Action
    actor: str
    reason: str
    ground: str
    """Legal or contractual; may be empty."""
    selection: Selection
    statuses: tuple[Status, ...] = ()
    """Empty for all that allow the action, except DISMISSED."""
    sample_fraction: float = SAMPLE_FRACTION
    """Above 0 and at most 1, left to a person."""


@frozen
class SelectedViolation:
    violation: str
    status: Status
    """Before this decision."""
    done: bool
    held_back: bool = False
    """A person decides it."""
    changes: int = 0
    """Number of recorded decisions about it."""
    lot: float = 0.0
    """0 to below 1; the lowest are held back."""
    reach: int = 0
    """For a product's violation: how many sellers' violations it decides."""

    @property
    def is_to_do(self) -> bool:
        """Return whether an entry must still be appended.

        In the sample only alleged violations get one.
        """
        return not self.done and (not self.held_back or self.status is Status.ALLEGED)


@dataclass(slots=True)
class BulkOutcome:
    selected: Sequence[SelectedViolation]
    """In the order of their reports."""
    etag: str
    """Covers the violations and all parameters but the id."""
    appended: set[str] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)
    """Violations that another call decided meanwhile."""

    @property
    def by_status(self) -> Mapping[Status, int]:
        return Counter(selected.status for selected in self.selected)

    @property
    def held_back(self) -> list[str]:
        """Return the violations of the random sample, which a person decides."""
        return [selected.violation for selected in self.selected if selected.held_back]

    @property
    def others(self) -> list[str]:
        """Return the violations that the bulk decision decides."""
        return [selected.violation for selected in self.selected if not selected.held_back]

    @property
    def decided(self) -> int:
        """Count the decided violations, without the sample."""
        return sum(
            not selected.held_back and (selected.done or selected.violation in self.appended)
            for selected in self.selected
        )

    @property
    def remaining(self) -> int:
        """Count the entries still to append, also for the sample."""
        handled = self.appended.union(self.changed)
        return sum(selected.is_to_do and selected.violation not in handled for selected in self.selected)

    @property
    def reach(self) -> int:
        return sum(selected.reach for selected in self.selected if not selected.held_back)


def parameters_of(decision: BulkDecisionCall) -> str:
    """Return a digest of all parameters but the id, 16 hexadecimal digits; it ties entries to them."""
    parameters = asdict(decision) | {"decision_id": "", "statuses": sorted(decision.statuses)}
    if not decision.selection.changed_by:  # as before there was this condition
        del parameters["selection"]["changed_by"]
    return _digest(json.dumps(parameters, sort_keys=True), 16)


def prefix_of(decision: BulkDecisionCall) -> str:
    """Return how all entry ids of the decision begin."""
    return prefix_of_id(decision.decision_id)


def prefix_of_id(decision_id: str) -> str:
    return f"{BULK_ID_PREFIX}{_digest(decision_id, 16)}~"


def selection_prefix_of(decision: BulkDecisionCall) -> str:
    """Return how its entry ids begin, by id and parameters."""
    return f"{prefix_of(decision)}{parameters_of(decision)}~"


def entry_id_of(decision: BulkDecisionCall, violation: str) -> str:
    """Return the id of the entry that decides a violation: the same at each try."""
    return f"{selection_prefix_of(decision)}{_digest(violation, 32)}"


def _digest(text: str, digits: int) -> str:
    return sha256(text.encode()).hexdigest()[:digits]


def check_call(decision: BulkDecisionCall) -> None:
    """Validate the parameters without reading. Raises InvalidInput."""
    wrong = []
    if not is_id(decision.decision_id):
        wrong.append(FieldViolation(("decision_id",), f"must be {ID_FORM}"))
    if decision.action not in BULK_ACTIONS:
        actions = ", ".join(action.word for action in BULK_ACTIONS)
        wrong.append(FieldViolation(("action",), f"must be one of {actions}; decide anything else one by one"))
    else:
        wrong += _find_wrong_fields(decision)
        allowing = _list_statuses_allowing(decision.action)
        if not {*decision.statuses} <= allowing:
            allowed = ", ".join(sorted(status.word for status in allowing))
            wrong.append(FieldViolation(("statuses",), f"must allow the action: {allowed}"))
    if decision.selection == Selection():
        text = "must be stated, or notifier, seller, listing, right, reported_from or reported_before"
        wrong.append(FieldViolation(("violation_types",), text))
    for name in ("notifier", "listing", "right"):
        if (value := getattr(decision.selection, name)) and not is_id(value):
            wrong.append(FieldViolation((name,), f"must be {ID_FORM}"))
    if not 0 < decision.sample_fraction <= 1:
        wrong.append(FieldViolation(("sample_fraction",), "must be above 0 and at most 1"))
    if wrong:
        raise InvalidInput(wrong)


def dry_run(ledger: Ledger, marketplace: str, decision: BulkDecisionCall) -> BulkOutcome:
    """Return what a bulk decision would select and hold back.

    Raises InvalidInput for wrong parameters; EntryContentDiffers if another decision has the id.
    """
    check_call(decision)
    ledger.entries.require_same_decision(
        marketplace, decision.decision_id, prefix_of(decision), selection_prefix_of(decision)
    )
    violations = list(_select(ledger, marketplace, ledger.cut(), decision))
    sample = {selected.violation for selected in violations if selected.lot < decision.sample_fraction}
    for is_alleged in (True, False):  # the latter cannot be marked
        group = [selected for selected in violations if (selected.status is Status.ALLEGED) is is_alleged]
        if group:
            sample.add(min(group, key=attrgetter("lot", "violation")).violation)
    # A later one may draw a lower lot.
    for index, selected in enumerate(violations):
        if not selected.done:
            violations[index] = replace(selected, held_back=selected.violation in sample)
    names = "\x1f".join([parameters_of(decision), *sorted(selected.violation for selected in violations)])
    return BulkOutcome(violations, _digest(names, 16))


def execute(
    ledger: Ledger,
    marketplace: str,
    decision: BulkDecisionCall,
    expected_count: int,
    etag: str = "",
    limit: int = MAX_PER_CALL,
) -> BulkOutcome:
    """Append at most `limit` entries of a bulk decision; return its progress.

    Call it again while entries remain. Raises SelectionChanged if the set or the `etag` differs from the dry run;
    InvalidInput and EntryContentDiffers as in `dry_run`.
    """
    outcome = dry_run(ledger, marketplace, decision)
    _require_same_selection(outcome, expected_count, etag)
    to_do = [selected for selected in outcome.selected if selected.is_to_do][:limit]
    for begin in range(0, len(to_do), BATCH):
        part = to_do[begin : begin + BATCH]
        entries = [_make_entry(decision, selected) for selected in part]
        seen = {
            entry.entry_id: (selected.violation, selected.changes)
            for entry, selected in zip(entries, part, strict=True)
        }
        prefixes = prefix_of(decision), selection_prefix_of(decision)
        as_seen = BulkCondition(decision.decision_id, *prefixes, seen)
        appended_ids = {appended.entry_id for appended in ledger.append(marketplace, entries, as_seen=as_seen)}
        outcome.appended.update(violation for entry_id, (violation, _) in seen.items() if entry_id in appended_ids)
        outcome.changed += [violation for entry_id, (violation, _) in seen.items() if entry_id not in appended_ids]
    return outcome


def _require_same_selection(outcome: BulkOutcome, expected_count: int, etag: str) -> None:
    count = len(outcome.selected)
    if count != expected_count:
        problem = f"the selection holds {count:,} violations by now, and not the {expected_count:,} that were expected"
    elif etag and etag != outcome.etag:
        problem = (
            f"the etag is of another decision: the dry run selected other violations than these {count:,}, or decided them"
            " otherwise"
        )
    else:
        return
    raise SelectionChanged(
        f"{problem}; look at them by another dry run and state its count and etag",
        {"count": str(count), "etag": outcome.etag},
    )


def _find_wrong_fields(decision: BulkDecisionCall) -> Iterator[FieldViolation]:
    try:
        prepare(_make_entry(decision, SelectedViolation("v", Status.ALLEGED, False)), MAX_TIME)
    except InvalidInput as error:
        for violation in error.violations:
            if violation.path[-1] != "entry_id":
                yield FieldViolation(violation.path[-1:], violation.description)


def _list_statuses_allowing(action: Action) -> set[Status]:
    return {status for status, following in TRANSITIONS.items() if action in following}


def _make_entry(decision: BulkDecisionCall, selected: SelectedViolation) -> Entry:
    action = Action.REVIEW if selected.held_back else decision.action
    fact = StatusChanged(
        selected.violation,
        action,
        decision.actor,
        decision.reason,
        ground=decision.ground,
        held_back=selected.held_back,
    )
    return Entry(entry_id_of(decision, selected.violation), "", fact)


def _draw_lot(report: SelectedReport) -> float:
    digest = sha256(f"report\x1f{report.record_time}\x1f{report.violation}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _select(ledger: Ledger, marketplace: str, cut: Cut, decision: BulkDecisionCall) -> Iterator[SelectedViolation]:
    statuses = {*decision.statuses} or _list_statuses_allowing(decision.action) - {Status.DISMISSED}
    prefix = selection_prefix_of(decision)
    after = count = 0
    while True:
        page = ledger.violations.select(marketplace, cut, decision.selection, after, _PAGE)
        of_products = [report.violation for report in page if report.state.kind is Kind.PRODUCT_VIOLATION]
        derived = ledger.violations.find_derived(marketplace, cut.sequence, of_products)
        names = [report.violation for report in page] + [name for names in derived.values() for name in names]
        changes = ledger.violations.find_decisions(marketplace, cut.sequence, names)
        for report in page:
            derived_violations = derived.get(report.violation, ())
            selected = _find_state_before(prefix, report, changes.get(report.violation, ()))
            if selected is None or selected.status not in statuses:
                continue
            if not selected.done and any(is_held_back_for_person(changes.get(name, ())) for name in derived_violations):
                continue
            count += 1
            yield replace(selected, lot=_draw_lot(report), reach=len(derived_violations))
        if count > MAX_SELECTED:
            raise invalid(
                "violation_types", f"and the other conditions select over {MAX_SELECTED:,}; state more of them"
            )
        if len(page) < _PAGE:
            return
        after = page[-1].sequence


def _find_state_before(
    prefix: str, report: SelectedReport, changes: Sequence[RecordedChange]
) -> SelectedViolation | None:
    """Return a violation's state before the decision whose entry ids begin with `prefix`.

    None if a person must decide it, or if the violation was found to be of another seller.
    """
    state = report.state
    for change in changes:
        if change.entry_id.startswith(prefix):
            return SelectedViolation(report.violation, state.status, True, change.held_back)
        state = state.apply(change)
    if state.is_of_another_seller or state.is_held_back:
        return None
    return SelectedViolation(report.violation, state.status, False, changes=state.decision_count)
