"""Scores from the ledger: gives a cut's rows to the pure core, and stamps the answer."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from scoring.answers.forecast import forecast
from scoring.answers.leads import find_leads, list_overturn_gains
from scoring.answers.whole import WholeAnswer
from scoring.base.errors import (
    ArtifactRefused,
    EntryKindUnknown,
    ModelNotFound,
    PolicyNotFound,
    PolicyRefused,
    SellertrustError,
    seller_not_found,
)
from scoring.base.frozen import frozen
from scoring.base.version import CORE_VERSION
from scoring.caution.cautions import Caution
from scoring.entries.accounts import list_balances
from scoring.features.resolved import SellerFacts, resolve_at_times, resolve_sellers
from scoring.measures.in_force import InForce, MeasureInputs, evaluate_measures
from scoring.measures.record import SellerTerms, list_links
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from scoring.scores.answer import Explanation, MadeBy, SellerScore, Stamp
from scoring.scores.notice import EndedPair, Move, ServedPair, answer_within_notice, list_ended_pairs
from scoring.scores.score import CoreAnswer, compute_answer, explain
from scoring.scores.settled_value import list_exposure_values
from service.call_context import current_call
from service.contract.audiences import ToldAnswer
from service.ledger.queries.supposed import NOTHING_SUPPOSED, SupposedEntries
from service.ledger.records import Cut
from service.policy.caution_flows import read_cautions
from service.scores.champion import Champion

if TYPE_CHECKING:  # a task of `service.scale` needs neither
    from service.ledger.store import Ledger
    from service.scores.served_policy import ServedPolicy

ROWS_AT_ONCE = 20_000


class Scorer:
    """Answers with the served policy and champion. Thread-safe, without state between calls.

    Reading methods raise CallerGone or DeadlinePassed if the caller no longer waits.
    """

    def __init__(self, ledger: "Ledger", policy: "ServedPolicy", champion: Champion) -> None:
        self.ledger = ledger
        self.policy = policy
        self.champion = champion
        self._known = _MadeByOfMoves((), (), MadeBy("", ""))
        self._notice_days: dict[str, int] = {}

    @property
    def made_by(self) -> MadeBy:
        """Return the digests of the served model and policy.

        `notice` names the earlier ones whose tiers still count during a notice period; empty without any.
        """
        known, (policies, models) = self._known, self._changes
        model, policy = self.champion.digest, self.policy.now.digest
        if known.policies is not policies or known.models is not models or known.made_by[:2] != (model, policy):
            newest = max((move.time for move in (*policies, *models)), default=0)
            notice = _name_notice(self._list_ended(model, policy, newest + 1))
            known = self._known = _MadeByOfMoves(policies, models, MadeBy(model, policy, notice))
        return known.made_by

    @property
    def _changes(self) -> tuple[Sequence[Move], Sequence[Move]]:
        return self.policy.changes, self.champion.changes

    def _list_ended(self, model: str, policy: str, time: int) -> list[EndedPair]:
        return list_ended_pairs(*self._changes, model, policy, time, self._find_notice_days)

    def _find_notice_days(self, policy: str) -> int:
        if policy not in self._notice_days:
            with suppress(PolicyRefused, PolicyNotFound):
                self._notice_days[policy] = self.policy.find(policy).notice_days
        return self._notice_days.get(policy, 0)

    @property
    def serving(self) -> tuple[Artifact | None, Policy]:
        return self.champion.artifact, self.policy.now

    def _make_query(
        self, marketplace: str, cut: Cut, made_by: tuple[Artifact | None, Policy] | None = None
    ) -> "_Query":
        """Return the cut, model and policy of a request, and what was served before."""
        artifact, policy = made_by or self.serving
        model = artifact.digest if artifact else ""
        ended = self._list_ended(model, policy.digest, cut.observe_time)
        running = (pair for pair in ended if cut.observe_time < pair.until)
        served = tuple(self._load_ended(running, {model: artifact}))
        return _Query(marketplace, cut, artifact, policy, served=served, notice=_name_notice(ended))

    def _load_ended(self, ended: Iterable[EndedPair], known: Mapping[str, Artifact | None]) -> Iterator[ServedPair]:
        for pair in ended:  # a model that was deleted from the registry keeps no tier
            with suppress(PolicyRefused, PolicyNotFound, ArtifactRefused, ModelNotFound):
                model = known[pair.model] if pair.model in known else self.champion.load_earlier(pair.model)
                yield ServedPair(model, self.policy.find(pair.policy), pair.time, pair.until)

    @property
    def unknown_badge(self) -> str:
        return self.policy.now.badges[None]

    def scores(
        self, marketplace: str, sellers: Sequence[str], cut: Cut, keep: Callable[[CoreAnswer], None] = lambda _: None
    ) -> tuple[list[SellerScore | SellertrustError], Stamp]:
        """Return one trust score or error per seller, in order, and their common stamp.

        One cut, model and policy for all; SellerNotFound is returned, not raised. `keep` gets each batch's answer.
        """
        query = self._make_query(marketplace, cut)
        outcomes: list[SellerScore | SellertrustError] = []
        _require_caller()
        for batch in self.ledger.facts.batches(marketplace, sellers):
            outcomes += self._score_batch(batch, query, keep)
        return outcomes, query.stamp

    def _score_batch(
        self, batch: Sequence[str], query: "_Query", keep: Callable[[CoreAnswer], None]
    ) -> list[SellerScore | SellertrustError]:
        try:
            core = self._compute_answer(batch, query)
        except EntryKindUnknown as error:
            if len(batch) == 1:
                return [error]
            alone = (self._score_batch([seller], query, keep) for seller in batch)
            return [outcome for outcomes in alone for outcome in outcomes]
        keep(core)
        named = zip(batch, core.scores, strict=True)
        return [seller_not_found(query.marketplace, seller) if score is None else score for seller, score in named]

    def explain(self, marketplace: str, seller: str, cut: Cut) -> tuple[CoreAnswer, Explanation, Stamp]:
        """Return one seller's trust score with the facts behind it, and its stamp.

        Raises SellerNotFound.
        """
        query = self._make_query(marketplace, cut)
        core = self._compute_answer([seller], query)
        return core, _explain_one(core, marketplace), query.stamp

    def past_scores(
        self, marketplace: str, core: CoreAnswer, cut: Cut, times: Iterable[int]
    ) -> Iterator[SellerScore | None]:
        """Yield a seller's score at each time, in microseconds and whole days apart, by what the cut knows.

        `core`: its answer at the cut. Times within a notice are answered one by one. Without cautions. None: the seller
        was unknown then.
        """
        at_once = max(ROWS_AT_ONCE // max(len(core.known.table), 1), 1)
        queries = [self._make_query(marketplace, replace(cut, observe_time=time)) for time in times]
        while queries:
            count = next((place for place, query in enumerate(queries[:at_once]) if query.served), at_once) or 1
            part, queries = queries[:count], queries[count:]
            known = resolve_at_times(core.known, [query.cut.observe_time for query in part])
            first = part[0]
            core_then = compute_answer(known, first.artifact, first.policy, require_caller=_require_caller)
            past = answer_within_notice(core_then, first.served, _require_caller)
            yield from past.scores

    def whole_answer(
        self,
        marketplace: str,
        seller: str,
        cut: Cut,
        *,
        supposed: SupposedEntries = NOTHING_SUPPOSED,
        made_by: tuple[Artifact | None, Policy] | None = None,
    ) -> WholeAnswer:
        """Return one seller's score and measures from one reading, with hypothetical entries.

        `made_by`: other than the served model and policy. Raises SellerNotFound.
        """
        query = replace(self._make_query(marketplace, cut, made_by), supposed=supposed)
        recorded = self.ledger.measures.of_sellers(marketplace, [seller], cut, supposed.terms)
        core = self._answer_with_past([seller], query)
        in_force = _evaluate_measures_of_one(core, marketplace, recorded)
        return WholeAnswer(core, in_force, recorded[seller], query.stamp)

    def gather_told(self, marketplace: str, seller: str, cut: Cut) -> tuple[ToldAnswer, Explanation]:
        """Return the facts that `told_message` puts into words, and the explanation. Raises SellerNotFound."""
        answer = self.whole_answer(marketplace, seller, cut)
        explanation = _explain_one(answer.core, marketplace)
        forecasts = forecast(answer.core, _require_caller)
        leads = find_leads(answer, explanation, forecasts, require_caller=_require_caller)
        fixed = forecasts is not None and forecasts.is_fixed
        told = ToldAnswer(
            answer=answer,
            baseline_points=explanation.baseline_points,
            parts={reason.reason_code: reason.points for reason in explanation.reasons},
            leads=leads,
            given_back=list_overturn_gains(answer, _require_caller),
            violations=self.ledger.violations.find_views(marketplace, [e for lead in leads for e in lead.entries], cut),
            acts_tried=forecasts is not None and not forecasts.stopped,
            fixed=fixed,
            fixed_until=forecasts.find_first_better_day(_require_caller) if fixed and forecasts is not None else None,
        )
        return told, explanation

    def measures_with_and_without_links(
        self, marketplace: str, seller: str, cut: Cut, recorded: SellerTerms
    ) -> tuple[InForce, InForce]:
        """Raises SellerNotFound."""
        core = self._answer_with_past([seller], self._make_query(marketplace, cut))
        return (
            _evaluate_measures_of_one(core, marketplace, {seller: recorded}),
            _evaluate_measures_of_one(core, marketplace, {seller: recorded._replace(cases=[])}),
        )

    def measures_of(
        self,
        marketplace: str,
        sellers: Sequence[str],
        cut: Cut,
        policy: Policy,
        recorded: Mapping[str, SellerTerms],
    ) -> Iterator[tuple[str, InForce | None]]:
        """Yield each seller with its measures in force by a policy; a seller that lacks valid entries has None.

        `recorded`: by seller, as of the cut.
        """
        query = self._make_query(marketplace, cut, (self.champion.artifact, policy))
        for batch in self.ledger.facts.batches(marketplace, sellers):
            core = self._answer_with_past(batch, query)
            yield from zip(batch, _evaluate_measures(core, marketplace, recorded), strict=True)

    def _answer_with_past(self, batch: Sequence[str], query: "_Query") -> CoreAnswer:
        policies = [query.policy, *(pair.policy for pair in query.served)]
        return self._compute_answer(batch, query, sorted(list_exposure_values(policies)), looks_back=True)

    def cautions(self, marketplace: str, sellers: Sequence[str], cut: Cut) -> dict[str, tuple[Caution, ...]]:
        """Return the cautions in force by the served policy, by seller; others are left out."""
        policy = self.policy.now
        cautions_by_seller: dict[str, tuple[Caution, ...]] = {}
        if policy.caution is None or not sellers:
            return cautions_by_seller
        for batch in self.ledger.facts.batches(marketplace, sellers):
            _require_caller()
            known = self._read_and_resolve(_Query(marketplace, cut, None, policy), batch)
            by_case = read_cautions(self.ledger, marketplace, known, cut, policy, _require_caller)
            cautions_by_seller |= {batch[case]: cautions for case, cautions in by_case.items()}
        return cautions_by_seller

    def _compute_answer(
        self, batch: Sequence[str], query: "_Query", values: Sequence[str] = (), *, looks_back: bool = False
    ) -> CoreAnswer:
        _require_caller()
        known = self._read_and_resolve(query, batch, values)
        cautions = read_cautions(self.ledger, query.marketplace, known, query.cut, query.policy, _require_caller)
        core = compute_answer(known, query.artifact, query.policy, cautions, _require_caller, looks_back=looks_back)
        return answer_within_notice(core, query.served, _require_caller, looks_back=looks_back)

    def _read_and_resolve(self, query: "_Query", batch: Sequence[str], values: Sequence[str] = ()) -> SellerFacts:
        cut = query.cut
        table, omitted = self.ledger.facts.table(query.marketplace, batch, cut, values, query.supposed)
        return resolve_sellers(batch, table, cut.observe_time, omitted)


@frozen
class _Query:
    marketplace: str
    cut: Cut
    artifact: Artifact | None
    policy: Policy
    supposed: SupposedEntries = NOTHING_SUPPOSED
    served: tuple[ServedPair, ...] = ()
    """Before the moves whose notice runs."""
    notice: str = ""

    @property
    def stamp(self) -> Stamp:
        return Stamp(
            observe_time=self.cut.observe_time,
            known_time=self.cut.known_time,
            ledger_sequence=self.cut.sequence,
            model_digest=self.artifact.digest if self.artifact else "",
            policy_digest=self.policy.digest,
            core_version=CORE_VERSION,
            notice=self.notice,
        )


def _explain_one(core: CoreAnswer, marketplace: str) -> Explanation:
    explanation = explain(core)
    if explanation is None:
        raise seller_not_found(marketplace, *core.known.sellers)
    return explanation


def _evaluate_measures(core: CoreAnswer, marketplace: str, recorded: Mapping[str, SellerTerms]) -> list[InForce | None]:
    currency, time = core.policy.rule_book.currency, core.known.observe_time
    days = max(
        policy.rule_book.refill_days for policy in (core.policy, *(earlier.core.policy for earlier in core.earlier))
    )
    inputs = {
        seller: MeasureInputs(
            seller_terms.statements,
            list_balances(seller_terms.deposit_changes, currency, time, days),
            list_links(seller_terms.cases, time),
        )
        for seller, seller_terms in recorded.items()
    }
    return evaluate_measures(core, marketplace, inputs, _require_caller)


def _evaluate_measures_of_one(core: CoreAnswer, marketplace: str, recorded: Mapping[str, SellerTerms]) -> InForce:
    [in_force] = _evaluate_measures(core, marketplace, recorded)
    if in_force is None:
        raise seller_not_found(marketplace, *core.known.sellers)
    return in_force


class _MadeByOfMoves(NamedTuple):
    policies: Sequence[Move]
    models: Sequence[Move]
    made_by: MadeBy
    """By these moves."""


def _name_notice(ended: Sequence[EndedPair]) -> str:
    """Return a digest of the earlier models and policies whose tiers count; empty without any."""
    text = " ".join(f"{pair.model}:{pair.policy}:{pair.time}:{pair.until}" for pair in ended)
    return sha256(text.encode()).hexdigest() if text else ""


def _require_caller() -> None:
    current_call().require_caller()
