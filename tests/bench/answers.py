"""Answers: whether flags, paths, letters and records are true, and the processor time of one thread that they take."""

import json
from collections import Counter
from time import thread_time

import numpy as np

from scoring.answers.forecast import (
    HORIZON_DAYS,
    Course,
    Forecasts,
    TierPath,
    count_recent_orders,
    find_paths,
    forecast,
)
from scoring.answers.leads import Lead, find_leads, list_overturn_gains
from scoring.answers.statements import list_statements
from scoring.answers.whole import WholeAnswer
from scoring.base.enums import IdentityLevel, InspectionResult, Kind, Source, Status, Tier
from scoring.base.time import DAY
from scoring.features.columns import FactRow, tabulate
from scoring.features.resolved import resolve_sellers
from scoring.features.table import Subject, matrix
from scoring.measures.in_force import evaluate_measures
from scoring.measures.record import SellerTerms
from scoring.policy.policy import Policy
from scoring.scores.answer import Explanation, MadeBy, Stamp
from scoring.scores.reasons import LIMIT
from scoring.scores.score import compute_answer, explain
from service.contract.dsa_records import LAWS
from service.contract.letters import LetterFacts, Redress, statement_messages
from service.contract.texts import Texts
from tests.bench._moves import count_notices, count_replays
from tests.bench._real_data import Say
from tests.helpers.answers import score
from tests.helpers.dsa_records import list_broken, view_of
from tests.helpers.policies import shipped, with_standing
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, inspection, numbered, violation

SELLERS, MANY, REPLAYS = 10_000, 5_000, 10_000
SPAN_DAYS = 500
STEP_DAYS = 15

_BY_TRADE = (Subject.FAILURES, Subject.INSPECTIONS, Subject.DISPUTES, Subject.ORDERS)
_COURSES = {
    **{subject: [Course(trades=True)] for subject in _BY_TRADE},
    Subject.IDENTITY: [Course(level=level) for level in IdentityLevel],
}
"""By what a feature is about, the acts of a seller that move it."""


def run(say: Say, sellers: int = SELLERS, many: int = MANY, replays: int = REPLAYS) -> dict[str, float]:
    found: Counter[str] = Counter()
    explain_ms: list[float] = []
    path_ms: list[float] = []
    for number in range(sellers):
        rows = make_seller(np.random.default_rng(number))
        answer = answer_whole(rows)
        began = thread_time()
        explained = _explain(answer)
        explain_ms.append(1e3 * (thread_time() - began))
        if explained is None:
            continue
        explanation, forecasts, leads = explained
        _count_faithful(answer, explanation, leads, found)
        _count_adverse(answer, forecasts, leads, found)
        began = thread_time()
        paths = find_paths(forecasts)
        path_ms.append(1e3 * (thread_time() - began))
        if answer.score.tier is not None and answer.score.tier < max(Tier):
            found["improvable"] += 1
            found["with_path"] += bool(paths)
        for path in paths:
            found["path.tried"] += 1
            found["path.failed"] += not _reaches(rows, path, count_recent_orders(answer.core.facts))
        if number % 10 == 0:
            _check_statements(rows, found)
            count_notices(rows, found)
        if number % 1_000 == 999:
            say(f"{number + 1:,} of {sellers:,} sellers")
    figures: dict[str, float] = {"faithful.sellers": sellers}
    figures |= {f"faithful.{name}": found[name] for name in ("sums_wrong", "signs_wrong", "not_caused", "leads")}
    figures["responsive.share"] = round(found["responsive"] / max(found["adverse"], 1), 4)
    figures["responsive.shap_share"] = round(found["shap_responsive"] / max(found["adverse"], 1), 4)
    figures["fixed.share"] = round(found["fixed"] / max(found["adverse"], 1), 4)
    figures |= {name: found[name] for name in ("path.tried", "path.failed")}
    figures["path.share"] = round(found["with_path"] / max(found["improvable"], 1), 4)
    for name, times in (("explain_ms", explain_ms), ("path_ms", path_ms)):
        for percent in (50, 99):
            figures[f"{name}.p{percent}"] = round(float(np.percentile(times, percent)), 2)
    names = ("statements.checked", "statements.invalid", "invariants.histories", "invariants.broken")
    names += ("notice.tried", "notice.broken", "notice.money_laxer")
    figures |= {name: found[name] for name in names}
    figures |= _compare_brute_force(min(sellers // 50 + 1, 5))
    figures |= count_replays(replays) if replays else {}
    figures["simulate_over_score"] = round(_compare_simulation(min(sellers, 200)), 2)
    figures["explain_ms.many"] = round(_time_many(many), 1)
    for key, value in figures.items():
        say(f"  {key:24} {value}")
    return figures


def make_seller(rng: np.random.Generator) -> list[FactRow]:
    rows = [identity("i", TODAY - int(rng.integers(40, SPAN_DAYS)), int(rng.integers(1, 5)))]
    days = rng.choice(SPAN_DAYS - 2, 35, replace=False) + 1
    volume = int(rng.integers(1, 200))
    for day in days.tolist():
        orders = int(rng.poisson(volume))
        rows.append(exposure(f"x{day}", TODAY - day, orders, min(orders, int(rng.poisson(0.3)))))
    for number in range(int(rng.poisson(rng.gamma(1.0, 3.0)))):
        facts = (TODAY - 1 - int(rng.integers(0, SPAN_DAYS)), int(rng.integers(1, 9)), int(rng.integers(1, 5)))
        status = Status.CONFIRMED if rng.random() < 0.8 else Status.ALLEGED
        rows.append(violation(f"v{number}", *facts, status, f"n{rng.integers(0, 6)}"))
    for number in range(int(rng.poisson(1.5))):
        result = InspectionResult(1 + int(rng.random() < 0.3))
        rows.append(inspection(f"f{number}", TODAY - 1 - int(rng.integers(0, SPAN_DAYS)), result))
    return numbered(rows)


def answer_whole(rows: list[FactRow], policy: Policy | None = None) -> WholeAnswer:
    policy, model = policy or with_standing(), artifact()
    sold = [
        (r.report_time, r.exposure_day, r.product_category or "", r.revision or 0, r.settled_orders, r.service_failures)
        for r in rows
        if r.kind == Kind.EXPOSURE
    ]
    others = [row for row in rows if row.kind != Kind.EXPOSURE]
    core = compute_answer(resolve_sellers(["s"], tabulate(others, ["s"], sold), NOW), model, policy, looks_back=True)
    [in_force] = evaluate_measures(core, "m", {})
    if in_force is None:
        raise AssertionError("each seller exists")
    made_by = MadeBy(model.digest, policy.digest)
    return WholeAnswer(
        core, in_force, SellerTerms([], [], [], [], []), Stamp(NOW, NOW, len(rows), made_by.model, made_by.policy, "")
    )


def _explain(answer: WholeAnswer) -> tuple[Explanation, Forecasts, list[Lead]] | None:
    explanation, forecasts = explain(answer.core), forecast(answer.core)
    if explanation is None or forecasts is None:
        return None
    leads = find_leads(answer, explanation, forecasts)
    list_overturn_gains(answer)
    if forecasts.is_fixed:
        forecasts.find_first_better_day()
    return explanation, forecasts, leads


def _count_faithful(answer: WholeAnswer, explanation: Explanation, leads: list[Lead], found: Counter[str]) -> None:
    points, base = answer.score.points, explanation.baseline_points
    if points is not None and base is not None:
        found["sums_wrong"] += base + sum(reason.points for reason in explanation.reasons) != points
    found["signs_wrong"] += any(reason.points > 0 and reason.reason_code != LIMIT for reason in explanation.reasons)
    found["leads"] += len(leads)
    found["not_caused"] += sum(not lead.caused for lead in leads if lead.entries)


def _count_adverse(answer: WholeAnswer, forecasts: Forecasts, leads: list[Lead], found: Counter[str]) -> None:
    if answer.score.tier is not None and answer.score.tier < Tier.TRUSTED:
        found["adverse"] += 1
        found["responsive"] += any(lead.responsive for lead in leads)
        found["shap_responsive"] += _names_responsive(answer, forecasts)
        found["fixed"] += forecasts.is_fixed


def _names_responsive(answer: WholeAnswer, forecasts: Forecasts) -> bool:
    """Return whether one of the four features that cost most, as SHAP names them, is one by which an act helps.

    The model is a sum of tables, so the SHAP value of a feature is its points less their mean, here the best row's 0.
    """
    core = answer.core
    if core.artifact is None:
        return False
    x = matrix(core.artifact.folder.fold(core.facts), core.artifact.features)
    parts = core.artifact.page.parts(x)[0]
    leading = [core.artifact.features[place] for place in np.argsort(parts, kind="stable")[:4] if parts[place] < 0]
    courses = [course for one in leading if one.subject in _COURSES for course in _COURSES[one.subject]]
    return any(forecasts.reaches_better_tier(course) for course in courses)


def _compare_brute_force(sellers: int) -> dict[str, float]:
    """Return the time of a score for each day and course over that of all paths, and the paths that it finds shorter.

    Each STEP_DAYS-th day is scored, and counts for so many.
    """
    brute = exact = 0.0
    wrong = 0
    for number in range(sellers):
        rows = make_seller(np.random.default_rng(number))
        answer = answer_whole(rows)
        began = thread_time()
        forecasts = forecast(answer.core)
        paths = [] if forecasts is None else find_paths(forecasts)
        exact += thread_time() - began
        orders = count_recent_orders(answer.core.facts)
        reached, tier = {path.tier: path.days for path in paths}, int(answer.score.tier or 0)
        began = thread_time()
        for course in [] if forecasts is None else [one.course for one in forecasts.all]:
            for days in range(1, HORIZON_DAYS + 1, STEP_DAYS):
                better = _reaches(rows, TierPath(Tier(min(tier + 1, max(Tier))), course, days, 0), orders)
                wrong += better and tier < max(Tier) and days < min(reached.values(), default=HORIZON_DAYS + 1)
        brute += STEP_DAYS * (thread_time() - began)
    return {"path.brute_force_over": round(brute / max(exact, 1e-9)), "path.brute_force_shorter": wrong}


def _check_statements(rows: list[FactRow], found: Counter[str]) -> None:
    policy = shipped("general")
    answer = answer_whole(rows, policy)
    stated = list_statements(answer)
    views = {row.entry_id: view_of(row, Source.BRAND, automated=False) for row in rows if row.entry_id == row.violation}
    facts = LetterFacts("marketplaces/m/sellers/s", answer, views)
    letters = statement_messages(facts, stated, Texts("en"), Redress(LAWS), for_seller=False)
    found["invariants.histories"] += 1
    for one, letter in zip(stated, letters, strict=True):
        found["statements.checked"] += 1
        found["statements.invalid"] += bool(letter.record) and bool(list_broken(json.loads(letter.record)))
        if not one.reasons and not one.conditions:
            rest = [row for row in rows if row.violation not in one.violations]
            after = answer_whole(rest, policy).in_force.measures
            found["invariants.broken"] += one.measure.measure in {other.measure for other in after}


def _compare_simulation(sellers: int) -> float:
    plain = supposed = 0.0
    for number in range(sellers):
        rows = make_seller(np.random.default_rng(number))
        more = numbered([*rows, violation("if", TODAY - 2, 1, 2)])
        began = thread_time()
        answer_whole(rows)
        middle = thread_time()
        answer_whole(more)
        plain, supposed = plain + middle - began, supposed + thread_time() - middle
    return supposed / plain


def _reaches(rows: list[FactRow], path: TierPath, volume: int) -> bool:
    added = []
    if path.course.level is not None:
        added.append(
            identity("verified", TODAY, int(path.course.level))._replace(report_time=NOW - 1, occur_time=NOW - 1)
        )
    for day in range(path.days) if path.course.trades else ():
        orders = (day + 1) * volume // 90 - day * volume // 90
        added.append(exposure(f"t{day}", TODAY + 1 + day, orders, 0))
    [reached] = score(numbered([*rows, *added]), ["s"], (TODAY + path.days) * DAY, artifact(), with_standing())
    return reached is not None and reached.tier is not None and reached.tier >= path.tier


def _time_many(incidents: int) -> float:
    rng = np.random.default_rng(0)
    rows = [identity("i", TODAY - 400), *(exposure(f"x{day}", TODAY - day, 500, 1) for day in range(1, 40))]
    for number in range(incidents):
        rows.append(violation(f"v{number}", TODAY - 1 - int(rng.integers(0, 400)), int(rng.integers(1, 9)), 2))  # noqa: PERF401
    answer = answer_whole(numbered(rows))
    began = thread_time()
    _explain(answer)
    return 1e3 * (thread_time() - began)
