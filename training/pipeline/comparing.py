"""Step 7, compare: the candidate beside baselines, its free twin and the champion, on the test rows."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen
from scoring.features import table as features
from scoring.features.table import FEATURES
from scoring.model.artifact import Artifact
from scoring.model.page import Page
from scoring.model.scale import Scale
from training.checks.leakage import cut_before
from training.evaluation.arrays import to_json_values
from training.evaluation.case import CHAMPION, PAST_VOLUME, TWIN, WINDOW_VOLUME, EvaluationCase, Train
from training.evaluation.equal_volume import CANDIDATE
from training.evaluation.figures import count_rows, evaluate
from training.evaluation.stability import Sellers, compare_with_today
from training.fitting.crossfit import MAX_FITTED, MIN_BAD, cross_fit
from training.fitting.curves import Curves
from training.fitting.fit import exposure_offset, fit_full, rows_at_reference
from training.fitting.logistic import Logistic, calibrate
from training.monitoring.outcomes import at_maturity, read_lineage, served_log_odds, slope_of, study_of_model
from training.observation.chunks import take_sellers
from training.observation.joining import find_places
from training.observation.snapshots import (
    Snapshot,
    features_of,
    find_active,
    join_snapshots,
    known_at,
    observe,
)
from training.pipeline.fitting import CalibratedModel, FittedModel
from training.pipeline.job import Job
from training.pipeline.observing import Observations
from training.pipeline.steps import Step
from training.study.definition import Observation, Study
from training.study.words import other_label

WITH_CONTEXT = "with_context"
"""The candidate's ranking with the actual context, which serving never has."""

MAX_ROWS = 100_000


@frozen
class Comparison:
    """Arrays of shape (n,)."""

    test: Snapshot
    scores: Mapping[str, Floats]
    """By model, the served ranking."""
    log_odds: Mapping[str, Floats]
    """By model, at the maturity, over each row's own exposure."""
    p_bad: Floats
    points: Ints
    figures: JsonObject
    summary: str


def compare(
    step: Step, job: Job, observed: Observations, fitted: FittedModel, calibrated: CalibratedModel
) -> Comparison:
    """Score at most 100,000 test rows by candidate, twin, baselines and champion, and evaluate them."""
    study, scale, page = job.study, calibrated.scale, calibrated.page
    test_with_context = observed.test.sample(MAX_ROWS, study.model.seed)
    rows = observed.rows.sample(MAX_ROWS, study.model.seed)
    test = rows_at_reference(test_with_context, study)
    raw = page.raw_score(test.x)
    offsets = exposure_offset(test, study)
    served = {CANDIDATE: at_maturity(scale, calibrated.lift, raw)}
    points = scale.points(raw)
    champion_points = None
    logistic = Logistic(rows, study)
    served["logistic"] = logistic.served(test)
    step(1, 3)
    served[TWIN] = _score_twin(test, job, observed)
    step(2, 3)
    log_odds = {name: score + offsets for name, score in served.items()}
    if job.champion is not None:
        champion_raw = _score_champion(job, job.champion, observed, test)
        served[CHAMPION] = served_log_odds(job.champion, champion_raw)
        log_odds[CHAMPION] = served[CHAMPION] + _find_champion_offset(job.champion, test, study)
        champion_points = job.champion.scale.points(champion_raw)
    rankings = _rank_by_rules(test)
    if study.context and isinstance(fitted.model, Curves):
        rankings[WITH_CONTEXT] = fitted.model.raw_scores(test_with_context.x)
    training_rows = rows_at_reference(rows, study)
    case = EvaluationCase(
        **_describe_rows(job, observed, test),
        train=Train(rows.bad, rows.seller, scale.points(page.raw_score(training_rows.x)), training_rows.x),
        log_odds=log_odds,
        served=served,
        points=points,
        champion_points=champion_points,
        rankings=rankings,
    )
    figures = evaluate(case)
    training_case = replace(
        case, bad=training_rows.bad, seller=training_rows.seller, day=training_rows.day, weight=training_rows.weight
    )
    training_case = replace(
        training_case, window_orders=training_rows.window_orders, pair_day=_find_pair_day(study, training_rows)
    )
    training_scores = {CANDIDATE: page.raw_score(training_rows.x), "logistic": logistic.served(training_rows)}
    training_auc, _ = training_case.compare(training_scores, at_equal_volume=study.at_equal_volume)
    figures["train"] = count_rows(observed.rows.bad, observed.rows.seller)
    figures["train"]["auc"] = to_json_values({name: auc.value for name, auc in training_auc.items()})
    figures["today"] = _compare_with_today(job, page, scale, test, points)
    figures["importance"] = _measure_importance(page, study, test)
    figures["test"]["drawn_from"] = len(observed.test.bad)
    if job.champion is not None:
        champion_definition = read_lineage(job.champion).get("definition", {})
        figures["champion"] = {"digest": job.champion.digest, "other_label": other_label(study, champion_definition)}
    p_bad = 1 / (1 + np.exp(-log_odds[CANDIDATE]))
    return Comparison(test, case.scores(), log_odds, p_bad, points, figures, _summarize(figures))


def _rank_by_rules(test: Snapshot) -> dict[str, Floats]:
    return {
        "points_rule": test.rule_points,
        "raw_count": test.raw_count,
        WINDOW_VOLUME: test.window_orders,
        PAST_VOLUME: test.orders,
    }


def _find_pair_day(study: Study, rows: Snapshot) -> Ints | None:
    """Return one day for all rows of a study at events, so that any two pair; else None."""
    return None if study.observation.events is None else np.zeros(len(rows.bad), dtype=np.int64)


def _compare_with_today(job: Job, page: Page, scale: Scale, test: Snapshot, points: Ints) -> JsonObject:
    """Choose today's sellers by orders in as many days, if test rows need some in the window."""
    study, today_point = job.study, job.study.point_at(job.table.end_day)
    sellers = np.arange(job.table.columns.cases, dtype=np.int64)
    if len(sellers) > MAX_ROWS:
        sellers = np.sort(np.random.default_rng(study.model.seed).permutation(len(sellers))[:MAX_ROWS])
    table = cut_before(job.table, sellers, today_point.day)
    known_now = known_at(table, study, today_point)
    activity_spans = (
        [today_point.window_end - today_point.day] if study.orders_needed or study.eligible.active_in_window else []
    )
    if study.eligible.active_before_months is not None:
        activity_spans.append(round(study.eligible.active_before_months * 365.25 / 12))
    is_served = known_now.facts.exists
    for active_days in activity_spans:
        is_served = is_served & find_active(known_now.facts, today_point.day - active_days, today_point.day)
    cases = np.flatnonzero(is_served).astype(np.int64)
    if not len(cases):
        return {"rows": 0, "psi": None}
    x = features.at_reference(features_of(known_now, table, study, today_point, cases), study.features)
    sums, points_today = known_now.sums, scale.points(page.raw_score(x))
    today = Sellers(points_today, sellers[cases], sums.tenure_days[cases].astype(np.float64), sums.total_orders[cases])
    judged = Sellers(points, test.seller, test.tenure_days.astype(np.float64), test.orders)
    return {"rows": len(cases), "psi": to_json_values(compare_with_today(judged, today, study.model.seed))}


def _measure_importance(page: Page, study: Study, test: Snapshot) -> list[JsonObject]:
    spread = page.parts(test.x).std(axis=0)
    shares = spread / max(spread.sum(), 1e-12)
    order = np.argsort(-shares, kind="stable").tolist()
    return [
        to_json_values({"feature": study.features[place].key, "share": shares[place]})
        for place in order
        if shares[place] > 0
    ]


def _describe_rows(job: Job, observed: Observations, test: Snapshot) -> JsonObject:
    is_thin = job.policy.is_thin(test.orders, test.tenure_days)
    is_thick = test.orders >= np.quantile(test.orders, 0.75)
    return {
        "bad": test.bad,
        "seller": test.seller,
        "day": test.day,
        "weight": test.weight,
        "orders": test.orders,
        "tenure_days": test.tenure_days.astype(np.float64),
        "country": test.country,
        "product_category": test.product_category,
        "file": np.where(is_thin, "thin", np.where(is_thick, "thick", "medium")).astype(object),
        "seen": np.isin(test.seller, np.unique(observed.rows.seller)),
        "inspected": test.inspected,
        "unrated": is_thin & test.clean,
        "x": test.x,
        "features": tuple(feature.key for feature in job.study.features),
        "window_orders": test.window_orders,
        "policy": job.policy,
        "at_equal_volume": job.study.at_equal_volume,
        "pair_day": _find_pair_day(job.study, test),
        "seed": job.study.model.seed,
        "indeterminate": observed.test_exclusions.get("indeterminate", 0),
        "left": observed.test_exclusions.get("left", 0),
    }


def _summarize(figures: JsonObject) -> str:
    judged, over_all = figures["judged"], figures["auc"]
    by_which_pairs = " at equal volume" if judged["at_equal_volume"] else ""
    if judged["auc"][CANDIDATE]["value"] is None:
        judged, by_which_pairs = figures, " over all pairs, since none is of one day and volume"
    auc = judged["auc"][CANDIDATE]
    others = [f"{name} {judged['auc'][name]['value']:.4f}" for name in (CHAMPION, "logistic") if name in judged["auc"]]
    sentence = f"AUC{by_which_pairs} {auc['value']:.4f} ({auc['low']:.4f} to {auc['high']:.4f}); {', '.join(others)}"
    if other_parts := figures.get("champion", {}).get("other_label"):
        sentence += f"; the champion learned another label ({', '.join(other_parts)}), so no gate goes by it"
    lead = judged["difference"][f"{CANDIDATE}-{TWIN}"]
    if lead["low"] is not None:
        span = f"({lead['low']:+.4f} to {lead['high']:+.4f})"
        sentence += f"; against trees of any features {lead['value']:+.4f} {span}"
    auc_over_all, volume = (over_all[name]["value"] for name in (CANDIDATE, WINDOW_VOLUME))
    return f"{sentence}; over all pairs {auc_over_all:.4f}, volume alone {volume:.4f}"


def _score_twin(test: Snapshot, job: Job, observed: Observations) -> Floats:
    """Return test log-odds of the twin: every feature, unrestricted monotone trees, calibrated on unseen sellers."""
    declared = tuple(feature for feature in job.study.features if feature not in FEATURES.values())
    study = replace(job.study, features=(*FEATURES.values(), *declared), pairs=())
    rows_of_point = MAX_ROWS // len(observed.train_points)
    parts = []
    for point, day_rows in zip(observed.train_points, observed.every, strict=False):
        part = day_rows.sample(rows_of_point, study.model.seed)
        parts.append(replace(part, x=_compute_inputs_of_study(part, job, [point], study)))
    rows, latest = join_snapshots(parts), parts[-1]
    fitted_rows = rows.sample(MAX_FITTED, study.model.seed)
    x = rows_at_reference(latest, study).x
    unseen_scores = cross_fit(fitted_rows, latest, x, study.model.seed, lambda _, part: fit_full(part, study))
    intercept, slope = 0.0, 1.0
    if unseen_scores is not None and latest.bad.sum() >= MIN_BAD:
        intercept, slope = calibrate(unseen_scores, latest.bad, exposure_offset(latest, study), latest.weight)
    raw = fit_full(rows, study)(
        features.at_reference(_compute_inputs_of_study(test, job, observed.test_points, study), study.features)
    )
    return np.asarray(intercept + slope * raw, dtype=np.float64)


def _compute_inputs_of_study(rows: Snapshot, job: Job, points: list[Observation], study: Study) -> Floats:
    """Observe the rows again and return their inputs by another study's features."""
    sellers = np.unique(rows.seller)
    if not len(sellers):  # all events of a span may be of sellers that are not eligible
        return np.empty((0, len(study.features)))
    names = [job.table.sellers[code] for code in sellers.tolist()]
    table = replace(job.table, columns=take_sellers(job.table.columns, sellers), sellers=names)
    observed_again = join_snapshots([observe(table, study, point).rows for point in points])
    keys = rows.day * len(names) + np.searchsorted(sellers, rows.seller)
    places = find_places(observed_again.day * len(names) + observed_again.seller, keys)
    if (places < 0).any():
        raise ValueError(f"{int((places < 0).sum())} rows are missing when they are observed for another model")
    return observed_again.x[places]


def _find_champion_offset(champion: Artifact, test: Snapshot, study: Study) -> Floats:
    """Return `exposure_offset` by the champion's own reference and slope."""
    reference, slope = champion.manifest["reference_exposure"], slope_of(champion)
    return exposure_offset(
        test, replace(study, exposure=replace(study.exposure, reference_orders=reference, slope=slope))
    )


def _score_champion(job: Job, champion: Artifact, observed: Observations, test: Snapshot) -> Floats:
    champion_study = study_of_model(job.study, champion)
    if champion_study.features == job.study.features and champion_study.constants == job.study.constants:
        return champion.raw_score(test.x)
    x = _compute_inputs_of_study(test, job, observed.test_points, champion_study)
    return champion.raw_score(features.at_reference(x, champion.features))
