"""The desk's own memory, held by one process.

Each change is on disk before its page is answered. After a crash, decisions within their undo window can still be undone;
later ones are sent under the same entry id, which the ledger records once.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from scoring.base.errors import ConfigurationWrong
from scoring.entries.kinds.common import list_deciders

UNDO_SECONDS = 10.0
CLAIM_SECONDS = 1_200.0
QUEUE_SECONDS = 120.0
"""A remembered queue is younger."""
KEPT_DECISIONS = 5_000

_TABLE = "CREATE TABLE IF NOT EXISTS states (kind TEXT, name TEXT, state TEXT, PRIMARY KEY (kind, name))"
_UPSERT = "INSERT INTO states VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state"


@dataclass(eq=False)
class CaseTaken(Exception):
    """Another reviewer works on this case, or has decided it."""

    text: str


@dataclass(frozen=True)
class DeskFinding:
    """One reviewer's first step. It is not revised."""

    violation: str
    actor: str
    action: str
    reason: str
    severity: str
    appeal: str = ""
    """Entry id, if one waited."""


@dataclass(frozen=True)
class DeskDecision:
    """A decision on its way into the ledger; `id` is the entry's."""

    id: str
    violation: str
    seller: str
    person: str
    """The visitor whose rights it needs."""
    actor: str
    action: str
    reason: str
    severity: str
    due: float
    """The undo window's end, in seconds since 1970."""
    state: str = "pending"
    """`pending`, `sent`, `undone`, or `refused`."""
    problem: str = ""
    appeal: str = ""

    @property
    def people(self) -> list[str]:
        """Return who decided: one person, or two in a joint decision."""
        return list_deciders(self.actor)


@dataclass(frozen=True)
class DeskCase:
    violation: str
    claimed_by: str = ""
    claimed_until: float = 0.0
    finding: dict[str, DeskFinding] = field(default_factory=dict)
    """By actor, until they look at the consequence."""
    votes: dict[str, DeskFinding] = field(default_factory=dict)
    """By actor, while a second person is needed."""
    opened: list[str] = field(default_factory=list)
    """Actors who opened the evidence."""
    waiting: str = ""
    """The requested information."""


class Journal:
    """Thread-safe. Raises ConfigurationWrong for a file that is held, damaged or of an earlier release."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._file = _open_exclusively(path)
        self._decisions = {name: DeskDecision(**state) for name, state in self._read_rows("decision").items()}
        settled = [decision.id for decision in self._decisions.values() if decision.state != "pending"]
        self._file.execute("BEGIN")
        for name in settled[:-KEPT_DECISIONS]:
            del self._decisions[name]
            self._delete_row("decision", name)
        self._file.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._file.close()

    # --- reading

    def case(self, violation: str) -> DeskCase:
        """Return the desk's state of a case, empty if unknown; an expired claim is left out."""
        with self._lock:
            return self._load_case(violation)

    def list_decisions(self, actor: str = "") -> list[DeskDecision]:
        """Return the desk's decisions, the latest first; of one person if `actor` is given, joint ones included."""
        with self._lock:
            decisions = reversed(self._decisions.values())
            return [decision for decision in decisions if not actor or actor in decision.people]

    def list_decided_lately(self) -> set[str]:
        """Return violations decided lately, which a remembered queue may still list."""
        since = self._clock() - QUEUE_SECONDS
        with self._lock:
            decided = [
                decision for decision in self._decisions.values() if decision.state == "pending" or decision.due > since
            ]
            return {decision.violation for decision in decided if decision.state in ("pending", "sent")}

    def list_due(self) -> list[DeskDecision]:
        """Return pending decisions whose undo window is over."""
        now = self._clock()
        with self._lock:
            return [
                decision for decision in self._decisions.values() if decision.state == "pending" and decision.due <= now
            ]

    def seconds_left(self, decision: DeskDecision) -> float:
        """Return how long the decision can be undone; 0 once its window is over."""
        return max(0.0, decision.due - self._clock())

    def list_bulk(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(reversed(self._read_rows("bulk").values()))

    # --- writing

    def claim(self, violation: str, actor: str, *, is_handed_on: bool = False) -> None:
        """Claim or assign a case.

        Raises CaseTaken if another person holds it, unless its holder hands it on (`is_handed_on`).
        """
        with self._lock:
            self._claim(violation, actor, is_handed_on=is_handed_on)

    def _claim(self, violation: str, actor: str, *, is_handed_on: bool = False) -> None:
        holder = self._load_case(violation).claimed_by
        if holder not in ("", actor) and not is_handed_on:
            raise CaseTaken(f"{holder} works on this case")
        until = self._clock() + CLAIM_SECONDS
        self._update_case(violation, claimed_by=actor, claimed_until=until, waiting="")

    def release(self, violation: str, actor: str) -> None:
        """Give a case back. Raises CaseTaken if another person holds it."""
        with self._lock:
            self._claim(violation, actor)
            self._update_case(violation, claimed_by="", claimed_until=0.0)

    def note_opened(self, violation: str, actor: str) -> None:
        with self._lock:
            opened = self._load_case(violation).opened
            if actor not in opened:
                self._update_case(violation, opened=[*opened, actor])

    def forget_findings_of_other_appeals(self, violation: str, appeal: str) -> None:
        with self._lock:
            case = self._load_case(violation)
            finding = {
                actor: finding_of_actor
                for actor, finding_of_actor in case.finding.items()
                if finding_of_actor.appeal == appeal
            }
            votes = {
                actor: finding_of_actor
                for actor, finding_of_actor in case.votes.items()
                if finding_of_actor.appeal == appeal
            }
            if (finding, votes) != (case.finding, case.votes):
                self._update_case(violation, finding=finding, votes=votes)

    def record_finding(self, finding: DeskFinding) -> None:
        """Record the first step, and claim the case.

        Raises CaseTaken if this reviewer found something before, another works on the case, or a decision waits.
        """
        with self._lock:
            self._require_no_pending_decision(finding.violation)
            case = self._load_case(finding.violation)
            if finding.actor in case.votes:
                raise CaseTaken("You have given your finding; another person must give theirs")
            if finding.actor in case.finding:
                raise CaseTaken("You have answered the first step, and it is not revised")
            self._claim(finding.violation, finding.actor)
            self._update_case(finding.violation, finding=case.finding | {finding.actor: finding})

    def vote(self, finding: DeskFinding) -> None:
        """Keep a finding for comparison, and end this reviewer's claim to the case."""
        with self._lock:
            case = self._load_case(finding.violation)
            ended = {"claimed_by": "", "claimed_until": 0.0} if case.claimed_by == finding.actor else {}
            self._update_case(finding.violation, votes=case.votes | {finding.actor: finding}, **ended)

    def wait_for_information(self, violation: str, text: str) -> None:
        """Put a case aside until a claim; `text`: what is missing."""
        with self._lock:
            self._update_case(violation, claimed_by="", claimed_until=0.0, waiting=text)

    def decide(self, decision: DeskDecision) -> DeskDecision:
        """Begin the undo window. The same id again changes nothing. Raises CaseTaken if another decision waits."""
        with self._lock:
            if (earlier := self._decisions.get(decision.id)) is not None:
                return earlier
            self._require_no_pending_decision(decision.violation)
            self._save_decision(decision)
            return decision

    def undo(self, name: str, actor: str) -> DeskDecision:
        """Take a decision back within its window. Raises CaseTaken if it is another's, or the window is over."""
        with self._lock:
            decision = self._decisions.get(name)
            if decision is None or decision.people[-1] != actor:
                raise CaseTaken("This decision is another person's")
            if decision.state == "pending" and decision.due <= self._clock():
                raise CaseTaken("The time to undo is over: the decision is becoming an entry")
            if decision.state == "pending":
                self._settle(replace(decision, state="undone"))
            elif decision.state != "undone":
                raise CaseTaken("The decision is an entry by now; an overturn takes it back")
            return self._decisions[name]

    def settle(self, name: str, state: str, problem: str = "") -> None:
        """Record the end of a decision: `sent` to the ledger, or `refused` with the problem."""
        with self._lock:
            self._settle(replace(self._decisions[name], state=state, problem=problem))

    def note_bulk(self, fields: dict[str, Any]) -> None:
        """Record a bulk decision, by its `decision_id`."""
        with self._lock:
            self._save_row("bulk", fields["decision_id"], fields)

    def new_deadline(self) -> float:
        """Return an undo window's end, in seconds since 1970."""
        return self._clock() + UNDO_SECONDS

    # --- the file

    def _require_no_pending_decision(self, violation: str) -> None:
        for decision in self._decisions.values():
            if decision.violation == violation and decision.state == "pending":
                raise CaseTaken("Another decision about this case is on its way")

    def _load_case(self, violation: str) -> DeskCase:
        case = self._find_case(violation) or DeskCase(violation)
        return case if case.claimed_until > self._clock() else replace(case, claimed_by="", claimed_until=0.0)

    def _update_case(self, violation: str, **fields: Any) -> None:
        self._save_row("case", violation, asdict(replace(self._load_case(violation), **fields)))

    def _save_decision(self, decision: DeskDecision) -> None:
        self._save_row("decision", decision.id, asdict(decision))
        self._decisions[decision.id] = decision

    def _settle(self, decision: DeskDecision) -> None:
        """End a decision's case, then the decision: after a crash in between it is sent again under its id."""
        case = self._find_case(decision.violation)
        if decision.state == "sent" and decision.action != "review":
            self._delete_row("case", decision.violation)
        elif case is not None:
            finding = {name: one for name, one in case.finding.items() if name not in decision.people}
            votes = {name: one for name, one in case.votes.items() if name != decision.people[-1]}
            self._update_case(decision.violation, finding=finding, votes=votes)
        self._save_decision(decision)

    def _find_case(self, violation: str) -> DeskCase | None:
        row = self._file.execute("SELECT state FROM states WHERE kind = 'case' AND name = ?", (violation,)).fetchone()
        if row is None:
            return None
        fields = json.loads(row[0])
        findings = {
            name: {actor: DeskFinding(**one) for actor, one in fields[name].items()} for name in ("finding", "votes")
        }
        return DeskCase(**fields | findings)

    def _read_rows(self, kind: str) -> dict[str, dict[str, Any]]:
        rows = self._file.execute("SELECT name, state FROM states WHERE kind = ? ORDER BY rowid", (kind,))
        return {name: json.loads(state) for name, state in rows}

    def _save_row(self, kind: str, name: str, fields: dict[str, Any]) -> None:
        self._file.execute(_UPSERT, (kind, name, json.dumps(fields)))

    def _delete_row(self, kind: str, name: str) -> None:
        self._file.execute("DELETE FROM states WHERE kind = ? AND name = ?", (kind, name))


def _open_exclusively(path: Path) -> sqlite3.Connection:
    if (earlier := path.with_suffix(".jsonl")).exists():
        raise ConfigurationWrong(f"{earlier} is an earlier release's: finish its cases there, then move it away")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    file = None
    try:
        file = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("BEGIN EXCLUSIVE")
        file.execute(_TABLE)
        file.execute("COMMIT")
        if (fault := file.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(fault)
    except sqlite3.DatabaseError as error:
        if file is not None:
            file.close()
        is_held = "locked" in str(error)
        text = f"another desk uses {path}; give each desk its own data folder"
        raise ConfigurationWrong(
            text if is_held else f"{path} cannot be read: {str(error).splitlines()[-1]}; restore the file"
        ) from None
    return file
