"""From entries to a model: who is observed, what counts as bad, and that the same study and data give the same model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scoring.artifact import load
from scoring.entries import Entry
from scoring.errors import ConfigurationWrong
from scoring.time import DAY, parse_day
from scoring.words import Action, Category, Harm, Kind, Severity, Source
from tests.builders import confirmed, exposure, identity, status, violation
from tests.training.ledgers import STUDIES, exported, market_ledger, table_of
from training.export import LedgerTable, read_export
from training.fit import baseline_seller, calibrate, fit_lightgbm, golden_rows, offset
from training.metrics import auc, bootstrap_auc, calibration_by_volume
from training.snapshots import Snapshot, join, snapshot
from training.study import BadRule, Study, load_study
from training.train import Trained, train

OBSERVE = parse_day("2025-01-01")
WINDOW, MATURITY = 180, 45
END = OBSERVE + WINDOW
TRUTH = END + MATURITY


@pytest.fixture(scope="module")
def study() -> Study:
    """The shipped study of a marketplace, with fewer rounds."""
    return replace(load_study(STUDIES / "marketplace.toml"), rounds=40)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of two years of a thousand simulated sellers, through files and ledger."""
    folder = tmp_path_factory.mktemp("market")
    with market_ledger(folder, 1000) as ledger:
        exported(ledger, "demo", folder)
    return folder / "export.parquet"


@pytest.fixture(scope="module")
def table(market: Path) -> LedgerTable:
    return read_export(market)


@pytest.fixture(scope="module")
def trained(table: LedgerTable, study: Study) -> Trained:
    return train(table, study)


def standing(seller: str, *, orders: int = 1000) -> list[Entry]:
    """A seller that is known before the observation and sells in the window."""
    joined, sold = (OBSERVE - 100) * DAY, OBSERVE + 5
    return [
        identity(f"i-{seller}", seller, occur_time=joined, report_time=joined),
        exposure(sold, seller, settled_orders=orders, report_time=(sold + 1) * DAY - 1),
    ]


def breach(entry_id: str, moment: int, *, reported: int | None = None, **fields: object) -> Entry:
    """A violation of seller `s`, confirmed on arrival, at a moment and known since then."""
    given = {"source": Source.CUSTOMS, "final": True, "identifier_verified": True} | fields
    return violation(entry_id, "s", occur_time=moment, report_time=moment if reported is None else reported, **given)  # type: ignore[arg-type]


def observe(folder: Path, study: Study, *entries: Entry) -> Snapshot:
    """What training sees of seller `s`, of whom the entries tell, and of a clean one."""
    everything = [*standing("clean"), *standing("s"), *entries]
    return snapshot(table_of(folder, everything), study, study.observation(OBSERVE))


def is_bad(folder: Path, study: Study, *entries: Entry) -> bool:
    """Whether seller `s` is bad; the clean one never is."""
    seen = observe(folder, study, *entries)
    assert seen.bad[0] == 0
    return bool(seen.bad[1])


@pytest.mark.parametrize(
    ("moment", "bad"),
    [
        (OBSERVE * DAY - 1, False),
        (OBSERVE * DAY, True),
        (END * DAY - 1, True),
        (END * DAY, False),
    ],
)
def test_the_window_holds_its_first_microsecond_and_not_the_one_after_its_last(
    tmp_path: Path, study: Study, moment: int, bad: bool
) -> None:
    """From the beginning of the observation day to the end of the window's last day."""
    assert is_bad(tmp_path, study, breach("v", moment)) is bad


@pytest.mark.parametrize(("decided", "bad"), [(TRUTH * DAY - 1, True), (TRUTH * DAY, False)])
def test_what_is_confirmed_after_the_maturity_does_not_count(
    tmp_path: Path, study: Study, decided: int, bad: bool
) -> None:
    """One fixed wait after the window for every seller alike."""
    moment = (OBSERVE + 10) * DAY
    allegation = violation("v", "s", occur_time=moment, report_time=moment)
    decision = status("v", Action.CONFIRM, occur_time=decided, report_time=decided)
    assert is_bad(tmp_path, study, allegation, decision) is bad


@pytest.mark.parametrize(("reported", "bad"), [(TRUTH * DAY - 1, True), (TRUTH * DAY, False)])
def test_what_is_reported_after_the_maturity_does_not_count(
    tmp_path: Path, study: Study, reported: int, bad: bool
) -> None:
    """The report counts as of when its source knew, whatever it says of when it happened."""
    assert is_bad(tmp_path, study, breach("v", (OBSERVE + 10) * DAY, reported=reported)) is bad


def test_an_allegation_makes_nobody_bad(tmp_path: Path, study: Study) -> None:
    """Alleged is not confirmed."""
    moment = (OBSERVE + 10) * DAY
    assert not is_bad(tmp_path, study, violation("v", "s", occur_time=moment, report_time=moment))


def test_what_was_overturned_since_counts_for_no_label(tmp_path: Path, study: Study) -> None:
    """However long after the maturity the decision came."""
    years_later = (TRUTH + 400) * DAY
    overturned = status("v", Action.OVERTURN, occur_time=years_later, report_time=years_later)
    assert is_bad(tmp_path, study, breach("v", (OBSERVE + 10) * DAY))
    (tmp_path / "again").mkdir()
    assert not is_bad(tmp_path / "again", study, breach("v", (OBSERVE + 10) * DAY), overturned)


def test_what_occurred_before_and_was_reported_after_is_neither_label_nor_feature(tmp_path: Path, study: Study) -> None:
    """Nobody could know it then, and it did not happen in the window."""
    late = observe(tmp_path, study, breach("v", (OBSERVE - 10) * DAY, reported=(OBSERVE + 10) * DAY))
    assert late.bad[1] == 0
    assert late.clean[1]
    np.testing.assert_array_equal(late.x[0], late.x[1])
    known = tmp_path / "known"
    known.mkdir()
    early = observe(known, study, breach("v", (OBSERVE - 10) * DAY))
    assert not early.clean[1]
    assert (early.x[0] != early.x[1]).any()


def test_one_incident_counts_once_towards_the_number_that_makes_a_seller_bad(tmp_path: Path, study: Study) -> None:
    """Two reports of one event are not two events."""
    twice = replace(study, bad_at_least=2)
    first = breach("v1", (OBSERVE + 10) * DAY, incident="fair")
    same = breach("v2", (OBSERVE + 11) * DAY, incident="fair")
    other = breach("v3", (OBSERVE + 12) * DAY, incident="market")
    for entries, bad in (([first], False), ([first, same], False), ([first, other], True)):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        assert is_bad(folder, twice, *entries) is bad


@pytest.mark.parametrize(
    ("rules", "bad"),
    [
        ([BadRule()], True),
        ([BadRule(severity=Severity.MAJOR)], True),
        ([BadRule(severity=Severity.CRITICAL)], False),
        ([BadRule(harm=Harm.HIGH)], True),
        ([BadRule(harm=Harm.EXTREME)], False),
        ([BadRule(violation_type="counterfeit_goods")], True),
        ([BadRule(violation_type="fake_reviews")], False),
        ([BadRule(category=Category.COUNTERFEIT)], True),
        ([BadRule(category=Category.IP)], False),
        ([BadRule(category=Category.COUNTERFEIT, harm=Harm.EXTREME)], False),
        ([BadRule(category=Category.IP), BadRule(harm=Harm.HIGH)], True),
    ],
)
def test_bad_is_what_one_of_the_rules_says_in_all_its_parts(
    tmp_path: Path, study: Study, rules: Sequence[BadRule], bad: bool
) -> None:
    """A counterfeit violation of high harm, hence of major severity, before each rule."""
    assert is_bad(tmp_path, replace(study, bad=tuple(rules)), breach("v", (OBSERVE + 10) * DAY)) is bad


def test_severity_is_the_one_that_was_left_at_the_maturity(tmp_path: Path, study: Study) -> None:
    """A reduction in time takes a violation out of the bad definition."""
    moment = (OBSERVE + 10) * DAY
    reduced = status("v", Action.REDUCE, severity=Severity.MINOR, occur_time=moment + DAY, report_time=moment + DAY)
    major = replace(study, bad=(BadRule(severity=Severity.MAJOR),))
    assert not is_bad(tmp_path, major, breach("v", moment), reduced)


def test_only_sellers_that_are_known_and_sell_in_the_window_are_observed(tmp_path: Path, study: Study) -> None:
    """With a reference exposure; without one, whoever is known."""
    later, joined = (OBSERVE + 20) * DAY, (OBSERVE - 20) * DAY
    entries = [
        *standing("a"),
        identity("i-idle", "idle", occur_time=joined, report_time=joined),
        identity("i-late", "late", occur_time=later, report_time=later),
        exposure(OBSERVE + 30, "late", report_time=(OBSERVE + 31) * DAY),
        exposure(OBSERVE - 30, "past", report_time=(OBSERVE - 29) * DAY),
    ]
    table = table_of(tmp_path, entries)

    def observed(how: Study) -> list[str]:
        return [table.sellers[code] for code in snapshot(table, how, how.observation(OBSERVE)).seller]

    assert observed(study) == ["a"]
    free = replace(study, reference_exposure=None)
    assert observed(free) == ["a", "idle", "past"]
    assert observed(replace(free, active_in_window=True)) == ["a"]
    assert observed(replace(free, active_before_months=1)) == ["past"]
    assert observed(replace(free, active_before_months=1, active_in_window=True)) == []


def test_a_row_carries_its_own_exposure_as_log_odds(tmp_path: Path, study: Study) -> None:
    """Worked: 500 orders in the window with 1,000 as reference have ln 0.5 = -0.693; the reference itself has 0."""
    rows = snapshot(table_of(tmp_path, [*standing("a", orders=500), *standing("b")]), study, study.observation(OBSERVE))
    assert rows.window_orders.tolist() == [500.0, 1000.0]
    np.testing.assert_allclose(offset(rows, study), [-0.6931471805599453, 0.0])
    assert offset(rows, replace(study, reference_exposure=None)).tolist() == [0.0, 0.0]


def test_the_points_rule_adds_the_gravest_of_each_incident_for_half_a_year(tmp_path: Path, study: Study) -> None:
    """Worked: minor 1, moderate 2, major 4 and critical 12 points, gone after 180 days; one incident once."""
    harms = [(Harm.LOW, 170), (Harm.MEDIUM, 160), (Harm.HIGH, 150), (Harm.EXTREME, 140)]
    plain = [
        breach(
            f"v-{harm.name}", (OBSERVE - days) * DAY, harm=harm, violation_type="unsafe_product", source=Source.BUYER
        )
        for harm, days in harms
    ]
    confirmations = [
        status(entry.entry_id, Action.CONFIRM, occur_time=entry.occur_time, report_time=entry.occur_time)
        for entry in plain
    ]
    # unsafe_product: low harm is moderate, medium and high are major, extreme is critical: 2 + 4 + 4 + 12.
    assert observe(tmp_path, study, *plain, *confirmations).rule_points.tolist() == [0.0, 22.0]

    for days, expected in ((179, 4.0), (180, 0.0)):
        folder = tmp_path / str(days)
        folder.mkdir()
        assert observe(folder, study, breach("v", (OBSERVE - days) * DAY)).rule_points[1] == expected
    folder = tmp_path / "incident"
    folder.mkdir()
    one = [breach(f"v{n}", (OBSERVE - 10 - n) * DAY, incident="one") for n in range(3)]
    assert observe(folder, study, *one).rule_points[1] == 4.0


def test_the_same_study_and_data_give_the_same_model(table: LedgerTable, study: Study, trained: Trained) -> None:
    """Every part to the byte, hence the digest; another seed, another model."""
    again = train(table, study)
    assert again.parts == trained.parts
    assert load(again.parts).digest == load(trained.parts).digest
    other = train(table, replace(study, seed=2))
    assert other.parts["model.txt"] != trained.parts["model.txt"]


def test_training_gives_a_certified_model_with_its_evaluation_and_lineage(
    table: LedgerTable, study: Study, trained: Trained
) -> None:
    """What `load` verifies, and what a reader wants to know of where it comes from."""
    artifact = load(trained.parts)
    assert artifact.features == study.features
    evaluation = trained.evaluation
    assert evaluation["test"]["bad"] == int(trained.test.bad.sum()) >= 10
    assert evaluation["auc"]["lightgbm"]["value"] == auc(trained.test_scores["lightgbm"], trained.test.bad)
    assert evaluation["auc"]["lightgbm"]["value"] > 0.7
    low, high = (evaluation["difference"]["lightgbm-logistic"][name] for name in ("low", "high"))
    assert low < high
    assert sum(decile["rows"] for decile in evaluation["calibration_by_volume"]) == len(trained.test.bad)
    assert 0.3 < evaluation["predicted"] / evaluation["base_rate"] < 3
    assert b'"ledger_digest":"' + table.digest.encode() in trained.parts["lineage.json"]


def test_shuffled_futures_are_ranked_no_better_than_by_a_coin(
    table: LedgerTable, market: Path, study: Study, tmp_path: Path
) -> None:
    """Each seller's past with another's future: if a feature knew anything of the window, it would show here."""
    train_points, (test_point,) = study.observations(table.as_of)
    booster = fit_lightgbm(join([snapshot(table, study, point) for point in train_points]), study)

    def ranked(what: LedgerTable) -> float:
        test = snapshot(what, study, test_point)
        return auc(np.asarray(booster.predict(test.x, raw_score=True, num_threads=1)), test.bad)

    shuffled = [ranked(read_export(_with_other_futures(market, tmp_path, test_point.day, seed))) for seed in range(6)]
    assert 0.44 < np.mean(shuffled) < 0.56
    assert ranked(table) > max(*shuffled, 0.65)


def _with_other_futures(export: Path, folder: Path, day: int, seed: int) -> Path:
    """An export in which whatever came to be known from `day` on is dealt out to the sellers at random."""
    rows = pl.read_parquet(export)
    sellers = rows["seller"].unique().sort()
    other = dict(zip(sellers, sellers.sample(fraction=1, shuffle=True, seed=seed), strict=True))
    new = rows.filter(pl.col("kind") == Kind.VIOLATION, pl.col("report_time") >= day * DAY)["entry_id"]
    is_future = (pl.col("exposure_day") >= day) | pl.col("violation").is_in(new.implode())
    dealt = rows.with_columns(
        seller=pl.when(is_future.fill_null(value=False)).then(pl.col("seller").replace(other)).otherwise("seller")
    )
    dealt.write_parquet(folder / "dealt.parquet")
    return folder / "dealt.parquet"


def test_a_model_that_finds_nothing_to_split_answers_the_base_rate(table: LedgerTable, study: Study) -> None:
    """Ten thousand rows a leaf are not there: one leaf, the same raw score for all, and still a sound artifact."""
    flat = replace(study, parameters={"min_data_in_leaf": 100_000})
    trained = train(table, flat)
    artifact = load(trained.parts)
    raw = artifact.raw_score(trained.test.x)
    assert len(set(raw.tolist())) == 1
    assert trained.evaluation["auc"]["lightgbm"]["value"] == pytest.approx(
        auc(offset(trained.test, study), trained.test.bad)
    )


def test_too_little_to_learn_from_is_said_with_what_would_help(table: LedgerTable, study: Study) -> None:
    """No bad seller at all, then no seller at all."""
    never = replace(study, bad=(BadRule(violation_type="missing_trader_information", harm=Harm.EXTREME),))
    with pytest.raises(
        ConfigurationWrong, match=r"the training points hold [\d,]+ sellers, 0 of them bad; at least 10"
    ):
        train(table, never)
    with pytest.raises(ConfigurationWrong, match="the training points hold 0 sellers"):
        train(table, replace(study, train=("1990-01-01",), test=("1995-01-01",)))


def test_parameters_that_lightgbm_refuses_are_a_wrong_study(table: LedgerTable, study: Study) -> None:
    """Not a stack trace of its own."""
    with pytest.raises(ConfigurationWrong, match=r"model\.parameters of the study cannot be used: .*num_leaves"):
        train(table, replace(study, parameters={"num_leaves": 1}))


def test_a_file_that_is_no_export_is_refused(tmp_path: Path) -> None:
    """No Parquet, other columns, other types; an empty export is one."""
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(ConfigurationWrong, match="is not an export of a ledger"):
        read_export(path)
    with pytest.raises(ConfigurationWrong, match="is not an export of a ledger"):
        read_export(tmp_path / "absent.parquet")
    pl.DataFrame({"seller": ["s"], "sequence": ["one"]}).write_parquet(path)
    with pytest.raises(ConfigurationWrong, match=r"sequence, entry_id, kind, .* is missing or of another type"):
        read_export(path)


def test_an_empty_export_is_too_little_to_learn_from(tmp_path: Path, study: Study) -> None:
    """And nothing worse."""
    (tmp_path / "empty").mkdir()
    with market_ledger(tmp_path, 1, days=2) as ledger:
        empty = exported(ledger, "elsewhere", tmp_path / "empty")
    assert (empty.sellers, empty.as_of) == ([], 0)
    with pytest.raises(ConfigurationWrong, match="the training points hold 0 sellers"):
        train(empty, study)


def test_auc_counts_ties_as_one_half() -> None:
    """Worked: scores 1, 2, 2 with bad 0, 0, 1: the bad one beats one good row and ties with one, 0.75."""
    assert auc(np.array([1.0, 2.0, 2.0]), np.array([0.0, 0.0, 1.0])) == 0.75
    assert auc(np.zeros(6), np.array([0.0, 1.0] * 3)) == 0.5
    assert auc(np.array([3.0, 1.0, 2.0]), np.array([1.0, 0.0, 0.0])) == 1.0
    assert np.isnan(auc(np.array([1.0, 2.0]), np.zeros(2)))
    rng = np.random.default_rng(5)
    score, bad = rng.integers(0, 9, 60).astype(float), (rng.random(60) < 0.3).astype(float)
    pairs = [(a > b) + (a == b) / 2 for a in score[bad == 1] for b in score[bad == 0]]
    assert auc(score, bad) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_weights_are_copies_of_rows() -> None:
    """A row of weight 2 counts as if it stood there twice, one of weight 0 not at all."""
    score, bad = np.array([1.0, 2.0, 3.0, 1.5]), np.array([0.0, 1.0, 0.0, 1.0])
    copies = np.array([2, 1, 0, 3])
    assert auc(score, bad, copies.astype(float)) == auc(np.repeat(score, copies), np.repeat(bad, copies))


def test_differences_are_paired_and_sellers_are_drawn_whole() -> None:
    """Equal scores differ by 0 in every draw; a seller's rows twice over tell no more than once."""
    rng = np.random.default_rng(3)
    bad = (rng.random(300) < 0.2).astype(float)
    good, seller = bad + rng.normal(0, 1, 300), np.arange(300)
    found = bootstrap_auc({"a": good, "b": good, "noise": rng.normal(0, 1, 300)}, bad, seller)
    assert (found["a-b"].value, found["a-b"].low, found["a-b"].high) == (0.0, 0.0, 0.0)
    assert found["a-noise"].value == found["a"].value - found["noise"].value
    assert found["a-noise"].low > 0
    assert found["a"].low < found["a"].value < found["a"].high
    twice = bootstrap_auc({"a": np.tile(good, 2)}, np.tile(bad, 2), np.tile(seller, 2))["a"]
    assert twice == found["a"]
    apart = bootstrap_auc({"a": np.tile(good, 2)}, np.tile(bad, 2), np.arange(600))["a"]
    assert apart.high - apart.low < 0.8 * (twice.high - twice.low)


def test_calibration_is_told_by_tenth_of_volume() -> None:
    """Worked: twenty rows of 1 to 20 orders in tenths of two; the row of most orders alone is bad."""
    orders = np.arange(20, 0, -1, dtype=float)
    bad = (orders == 20).astype(float)
    deciles = calibration_by_volume(orders / 100, bad, orders)
    assert [(d.rows, d.orders_from, d.orders_to) for d in deciles] == [(2, 2.0 * n + 1, 2.0 * n + 2) for n in range(10)]
    assert deciles[0].predicted == pytest.approx(0.015)
    assert [d.observed for d in deciles] == [0.0] * 9 + [0.5]
    assert [d.rows for d in calibration_by_volume(bad[:3], bad[:3], orders[:3])] == [1, 1, 1]


def test_calibration_finds_the_line_that_made_the_outcomes() -> None:
    """Intercept and slope come back from 20,000 draws; each row's own exposure is taken into account."""
    rng = np.random.default_rng(11)
    raw, start = rng.normal(-1, 1.5, 20_000), np.log(rng.uniform(0.1, 3, 20_000))
    bad = (rng.random(20_000) < 1 / (1 + np.exp(-(0.4 + 0.7 * raw + start)))).astype(float)
    intercept, slope = calibrate(raw, bad, start)
    assert intercept == pytest.approx(0.4, abs=0.1)
    assert slope == pytest.approx(0.7, abs=0.05)
    assert calibrate(raw, np.zeros(20_000), start) == (0.0, 1.0)
    backwards = (rng.random(20_000) < 1 / (1 + np.exp(2 * raw))).astype(float)
    assert calibrate(raw, backwards, np.zeros(20_000))[1] == 0.0


def test_the_baseline_is_the_median_established_seller_without_an_incident(tmp_path: Path, study: Study) -> None:
    """Of four sellers: a guilty one, and three clean ones with 0, 300 and 500 orders, of which the latter two count."""
    entries = [*standing("guilty"), breach("v", (OBSERVE - 10) * DAY)]
    entries[-1] = replace(entries[-1], seller="guilty")
    for seller, orders in (("a", 0), ("b", 300), ("c", 500)):
        entries += standing(seller)
        entries.append(exposure(OBSERVE - 50, seller, settled_orders=orders, report_time=(OBSERVE - 49) * DAY))
    rows = snapshot(table_of(tmp_path, entries), study, study.observation(OBSERVE))
    assert rows.orders.tolist() == [0.0, 300.0, 500.0, 0.0]
    assert rows.clean.tolist() == [True, True, True, False]
    expected = np.median(rows.x[[1, 2]], axis=0)
    np.testing.assert_array_equal(baseline_seller(rows), expected)
    assert golden_rows(rows, 3).shape == (3, rows.x.shape[1])


def test_a_violation_confirmed_on_arrival_is_what_the_builder_says() -> None:
    """The two ways of building one here agree."""
    assert breach("v", 0, reported=0).fact == confirmed("v", "s", occur_time=0).fact
