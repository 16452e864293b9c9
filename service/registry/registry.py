"""The model registry: immutable artifacts by digest, and an append-only log of alias moves.

{registry}/models/{digest}/manifest.json, model.txt, ...   the artifact
{registry}/models/{digest}/gates.json, report.html         attachments, not in the digest
{registry}/moves/000000001.json, ...                       who moved which alias, when and why
"""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from scoring.base.errors import (
    ApprovalRequired,
    ArtifactRefused,
    GatesFailed,
    ModelNotFound,
    PromiseGivenUp,
    ProposalClosed,
    invalid,
)
from scoring.base.time import format_time
from scoring.features.table import AnyFeature
from scoring.model.artifact import (
    MANIFEST,
    PARTS,
    Artifact,
    ArtifactParts,
    open_verified,
    verify,
    verify_content,
    verify_distinct,
)
from scoring.model.promises import broken_promises, is_freed
from service.call_context import Approval, current_call
from service.registry.figures import headline_figures
from service.registry.gates import (
    GATES,
    NO_OVERRIDE,
    GateOverride,
    GateResult,
    parse_gates,
    require_allowed,
    word_of_gates,
)
from service.registry.moves import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Figure,
    ModelMove,
    aliases_of,
    check_actor_and_reason,
    find_figure,
    is_digest,
)
from service.registry.storage import Storage


def _name_sha256(attachment: str) -> str:
    return f"{attachment.partition('.')[0]}_sha256"


GATES_FIGURE = _name_sha256(GATES)
"""The figure with the SHA-256 of a model's gates."""


def refuse_given_up(digest: str, features: tuple[AnyFeature, ...]) -> None:
    """Raise PromiseGivenUp if the model frees a direction on which a promise rests: it must not be champion."""
    lost = broken_promises(features)
    if not lost:
        return
    free = ", ".join(feature.key for feature in features if is_freed(feature))
    texts = "; and that ".join(promise.text for promise in lost)
    raise PromiseGivenUp(
        f"model {digest[:12]} gives up the promise that {texts} ({free} is free). It may be challenger, but never"
        " champion: take the freed directions out of its study (where bad is a count, state [exposure] instead) and"
        " train again",
        {"model": digest, "promises": ",".join(promise.name for promise in lost)},
    )


def basis_of(moves: Sequence[ModelMove], digest: str) -> dict[str, str]:
    """Return the basis of a promotion: `champion`, the number of its moves, and the SHA-256 of the model's gates.

    The first and the last are "" without one. A rollback raises the number of moves.
    """
    champion = aliases_of(moves).get(CHAMPION) or ""
    champion_moves = str(sum(move.alias == CHAMPION for move in moves))
    return {
        "champion": champion,
        "champion_moves": champion_moves,
        GATES_FIGURE: str(find_figure(moves, digest, GATES_FIGURE) or ""),
    }


def require_basis(moves: Sequence[ModelMove], digest: str, approval: Approval) -> None:
    """Raise ProposalClosed if the champion or the model's gates changed since the proposal was made."""
    present = basis_of(moves, digest)
    changed = [name for name, value in present.items() if approval.basis.get(name) != value]
    if changed:
        text = f"{' and '.join(_CHANGED[name] for name in changed)} since this was proposed; propose it anew"
        raise ProposalClosed(text, {"proposal": approval.proposal, "state": "OUTDATED"})


_CHANGED = {
    "champion": "the champion has changed",
    "champion_moves": "the champion was moved",
    GATES_FIGURE: "the model's gates have changed",
}


def is_proposal_done(moves: Sequence[ModelMove], proposal: str) -> bool:
    return any(move.alias == CHAMPION and move.figures.get("proposal") == proposal for move in moves)


def refuse_second_rollback(moves: Sequence[ModelMove]) -> None:
    """Raise ApprovalRequired for a rollback that would undo a rollback."""
    last = [move for move in moves if move.alias == CHAMPION][-1]
    if last.figures.get("rollback") == "yes":
        text = (
            "the present champion came by a rollback, and another one would bring back what that took back, which needs"
            " approval here; propose its promotion"
        )
        raise ApprovalRequired(text, {"right": "models", "proposal": "", "persons_missing": "2"})


REPORT = "report.html"
ATTACHMENTS = (GATES, REPORT)
MAX_ATTACHMENT_BYTES = 8 << 20
"""A report should stay under 2 MB."""

MIN_BEGINNING = 6
_HEXADECIMAL = re.compile(r"[0-9a-f]+")


class Registry:
    """Needs whole digests; `promote` and `resolve` also take aliases, or unique beginnings of at least 6 characters.

    `now` is in microseconds.
    """

    def __init__(self, place: Path | str) -> None:
        self._storage = Storage(place)
        self.place = self._storage.place
        self.look_seconds = 0.3
        """The time between two calls of `stamp`."""

    def stamp(self) -> object:
        """Return a value that changes when an alias moves; cheap."""
        return self._storage.stamp()

    def publish(
        self,
        parts: ArtifactParts,
        *,
        actor: str,
        reason: str,
        now: int,
        attachments: Mapping[str, bytes] | None = None,
    ) -> str:
        """Verify and store an artifact with its attachments (`gates.json`, `report.html`); return its digest.

        It becomes champion if there is none and its gates allow it; otherwise challenger. Publishing the same content
        again changes only the log and the attachments, and repairs damage. Raises ArtifactRefused for an unsound model
        or gates; InvalidInput for actor, reason or attachments.
        """
        check_actor_and_reason(actor=actor, reason=reason)
        given_attachments = dict(attachments or {})
        _check_attachments(given_attachments)
        gates = parse_gates(given_attachments.get(GATES))
        digest = _verify_whole(parts)
        artifact = open_verified(parts, digest)
        figures: dict[str, Figure] = {**headline_figures(artifact.parts), "gates": word_of_gates(gates)}
        figures |= {_name_sha256(name): sha256(data).hexdigest() for name, data in given_attachments.items()}
        stored_parts = {name: parts[name] for name in (MANIFEST, *PARTS)}

        def decide(moves: list[ModelMove]) -> ModelMove:
            if self.read(digest) != stored_parts:
                stored_attachments = self._storage.read(digest, ATTACHMENTS)
                self._storage.store(digest, stored_parts)
                self._storage.attach(digest, stored_attachments)
            self._storage.attach(digest, given_attachments)
            may_be_champion = _is_allowed(gates) and not broken_promises(artifact.features)
            is_first = aliases_of(moves).get(CHAMPION) in (None, digest) and may_be_champion
            return ModelMove(CHAMPION if is_first else CHALLENGER, digest, actor, reason, format_time(now), figures)

        self._storage.append(decide)
        return digest

    def promote(
        self,
        model: str,
        *,
        actor: str,
        reason: str,
        now: int,
        override: GateOverride = NO_OVERRIDE,
        approval: Approval | None = None,
    ) -> str:
        """Make a published model champion if its gates allow it; return the champion's digest.

        With an `approval` a repeated call changes nothing, even if
        another model became champion since. Raises ProposalClosed if what was approved has changed. Also raises
        GatesFailed, PromiseGivenUp, ModelNotFound, ArtifactRefused, InvalidInput.
        """
        check_actor_and_reason(actor=actor, reason=reason, **override._asdict())
        digest = self.resolve(model)
        self._require_promotable(digest)
        self._check_gates(digest, self.history(), override)

        def decide(moves: list[ModelMove]) -> ModelMove | None:
            if approval is not None and is_proposal_done(moves, approval.proposal):
                return None
            # The gates may have been replaced meanwhile.
            figures = self._check_gates(digest, moves, override)
            if approval is not None:
                require_basis(moves, digest, approval)
                figures["proposal"] = approval.proposal
            return self._make_champion_move(moves, digest, actor, reason, now, figures)

        move = self._storage.append(decide)
        return move.digest if move else str(self.champion_digest())

    def find_promotion_basis(self, digest: str, override: GateOverride = NO_OVERRIDE) -> dict[str, str]:
        """Return a promotion's basis. Raises GatesFailed, PromiseGivenUp, ArtifactRefused or InvalidInput."""
        self._require_promotable(digest)
        self._check_gates(digest, moves := self.history(), override)
        return basis_of(moves, digest)

    def rollback(self, *, actor: str, reason: str, now: int, champion: str = "", is_emergency: bool = False) -> str:
        """Make the `previous` champion champion again; return its digest.

        It served before, so only its SHA-256 is compared and no gate is checked. With `champion`, the whole digest to
        roll back, a second call changes nothing; without it, that undoes the first. Raises InvalidInput for another
        name, ModelNotFound without an earlier champion, and ArtifactRefused if it is damaged or `champion` is not the
        present champion. Raises ApprovalRequired if an `is_emergency` rollback would undo a rollback.
        """
        check_actor_and_reason(actor=actor, reason=reason)
        if champion and not is_digest(champion):
            raise invalid("champion", "must be the whole digest, 64 digits: another name may mean another model later")

        def decide(moves: list[ModelMove]) -> ModelMove | None:
            aliases = aliases_of(moves)
            digest = aliases.get(PREVIOUS)
            if digest is None:
                raise ModelNotFound("no model was champion before the present one", {"model": PREVIOUS})
            if champion and champion == digest:
                return None
            if champion and champion != aliases[CHAMPION]:
                present = aliases[CHAMPION]
                text = f"model {champion[:12]} is not champion, so it is not taken back: {present[:12]} is"
                raise ArtifactRefused(text, {"model": present})
            if is_emergency:
                refuse_second_rollback(moves)
            self.content(digest)
            figures: dict[str, Figure] = {"gates": find_figure(moves, digest, "gates") or "none", "rollback": "yes"}
            return self._make_champion_move(moves, digest, actor, reason, now, figures)

        move = self._storage.append(decide)
        return move.digest if move else str(self.champion_digest())

    def champion_digest(self) -> str | None:
        return self.aliases().get(CHAMPION)

    def aliases(self) -> dict[str, str]:
        return aliases_of(self.history())

    def history(self) -> list[ModelMove]:
        return self._storage.moves()

    def digests(self) -> list[str]:
        return self._storage.digests()

    def resolve(self, name: str, moves: list[ModelMove] | None = None) -> str:
        """Return the digest for an alias or a unique beginning of a digest. Raises ModelNotFound.

        `moves` is the log if the caller has read it.
        """
        aliases = aliases_of(self.history() if moves is None else moves)
        if name in aliases:
            return aliases[name]
        if len(name) < MIN_BEGINNING and _HEXADECIMAL.fullmatch(name):
            raise ModelNotFound(
                f"{name!r} is too short to name a model: give an alias, or at least {MIN_BEGINNING} characters of a digest;"
                " see: sellertrust model list",
                {"model": name},
            )
        matching = [digest for digest in self.digests() if len(name) >= MIN_BEGINNING and digest.startswith(name)]
        if len(matching) != 1:
            problem = "names several models" if matching else "names no model"
            raise ModelNotFound(f"{name[:80]!r} {problem}; see: sellertrust model list", {"model": name[:80]})
        return matching[0]

    def read(self, digest: str) -> dict[str, bytes]:
        """Return a model's parts by name, unverified; {} if unknown."""
        return self._storage.read(digest, (MANIFEST, *PARTS))

    def attachment(self, digest: str, name: str, moves: list[ModelMove] | None = None) -> bytes:
        """Return an attachment as last published; `moves` is the log if the caller has read it.

        Raises ModelNotFound without one; ArtifactRefused if its SHA-256 differs from the log's.
        """
        data = self._storage.read(digest, [name]).get(name)
        stated_digest = find_figure(self.history() if moves is None else moves, digest, _name_sha256(name))
        if data is None and stated_digest is None:
            raise ModelNotFound(f"model {digest[:12]} was published without {name}", {"model": digest})
        if data is None or sha256(data).hexdigest() != stated_digest:
            problem = "is missing" if data is None else "was altered: its SHA-256 is not the log's"
            raise self._refusal_error(digest, f"{name} {problem}")
        return data

    def gates(self, digest: str, moves: list[ModelMove]) -> tuple[GateResult, ...] | None:
        """Return a model's published gates, or None. Raises ArtifactRefused if altered."""
        try:
            return parse_gates(self.attachment(digest, GATES, moves))
        except ModelNotFound:
            return None

    def content(self, digest: str) -> dict[str, bytes]:
        """Return parts by name, compared with the digest, without LightGBM.

        Raises ArtifactRefused if a part is missing or altered, or the model unknown.
        """
        return self._read_verified(digest, verify_content)

    def load(self, digest: str) -> Artifact:
        """Return a published model, fully verified and loaded. Raises ArtifactRefused."""
        parts = self._read_verified(digest, _verify_whole)
        try:
            return open_verified(parts, digest)
        except ArtifactRefused as error:
            raise self._refusal_error(digest, error.message) from error

    def _require_promotable(self, digest: str) -> None:
        refuse_given_up(digest, self.load(digest).features)

    def _read_verified(self, digest: str, verify_parts: Callable[[ArtifactParts], str]) -> dict[str, bytes]:
        parts = self.read(digest)
        try:
            actual = verify_parts(parts)
        except ArtifactRefused as error:
            raise self._refusal_error(digest, error.message) from error
        if actual != digest:
            raise ArtifactRefused(
                f"the content of model {digest[:12]} is that of another digest, {actual[:12]}", {"model": digest}
            )
        return parts

    def _refusal_error(self, digest: str, problem: str) -> ArtifactRefused:
        """Return the error without the registry's path, which callers must not see."""
        return ArtifactRefused(
            f"model {digest[:12]} is refused: {problem}; publish it again, or promote another"
            " (see: sellertrust model list)",
            {"model": digest},
        )

    def _check_gates(self, digest: str, moves: list[ModelMove], override: GateOverride) -> dict[str, Figure]:
        """Return what the log records about a promotion's gates. Raises as `require_allowed`, and ArtifactRefused."""
        gates = self.gates(digest, moves)
        served = any(move.alias == CHAMPION and move.digest == digest for move in moves)
        gates_sha256 = find_figure(moves, digest, GATES_FIGURE)
        figures = require_allowed(gates, override, served=served)
        if gates is None or gates_sha256 is None:
            return {**figures}
        return {**figures, GATES_FIGURE: gates_sha256}

    def _make_champion_move(
        self, moves: list[ModelMove], digest: str, actor: str, reason: str, now: int, added: Mapping[str, Figure]
    ) -> ModelMove:
        figures: dict[str, Figure] = {**headline_figures(self.read(digest)), **added}
        if caller := current_call().caller:
            figures["principal"] = caller
        before = aliases_of(moves).get(CHAMPION)
        if before not in (None, digest):
            figures[PREVIOUS] = str(before)
        return ModelMove(CHAMPION, digest, actor, reason, format_time(now), figures)


def _verify_whole(parts: ArtifactParts) -> str:
    digest = verify(parts)
    verify_distinct(parts)
    return digest


def _is_allowed(gates: tuple[GateResult, ...] | None) -> bool:
    try:
        require_allowed(gates)
    except GatesFailed:
        return False
    return True


def _check_attachments(attachments: Mapping[str, bytes]) -> None:
    for name, data in attachments.items():
        if name not in ATTACHMENTS:
            raise ArtifactRefused(f"{name} cannot lie beside a model: only {' and '.join(ATTACHMENTS)}")
        if len(data) > MAX_ATTACHMENT_BYTES:
            raise ArtifactRefused(f"{name} of the model is larger than {MAX_ATTACHMENT_BYTES >> 20} MB")
