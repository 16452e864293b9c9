from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.enums import Category, Harm, Kind, Severity
from scoring.base.errors import ConfigurationWrong, InvalidInput
from scoring.base.time import format_day, parse_day
from scoring.features.table import FEATURES, Feature
from tests.helpers.training_ledgers import STUDIES, restated
from training.study.context import EventPoints
from training.study.definition import BadRule, Study
from training.study.loading import PAGE_FEATURES, load_study
from training.study.words import describe_definition

MINIMAL = """
name = "minimal"
marketplace = "acme"
[window]
days = 180
[bad]
any = [{ harm = "high" }]
"""


def study(folder: Path, text: str = MINIMAL) -> Study:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return load_study(path)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationWrong) as caught:
        study(folder, text)
    return caught.value.message.removeprefix(f"the study {folder / 'study.toml'} cannot be used: ")


@pytest.fixture(scope="module")
def minimal(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study(tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize(
    "path", sorted(p for p in STUDIES.glob("*.toml") if ".mapping" not in p.name), ids=lambda p: p.stem
)
def test_every_study_that_is_shipped_can_be_used(path: Path) -> None:
    assert load_study(path).name == path.stem


def test_what_a_study_leaves_out_has_a_default(minimal: Study) -> None:
    assert [feature.name for feature in minimal.features] == [
        f.name for f in FEATURES.values() if f.name in PAGE_FEATURES
    ]
    assert len(minimal.features) == len(PAGE_FEATURES) == 17
    assert (
        minimal.observation.train_points,
        minimal.observation.step_days,
        minimal.window.maturity_days,
        minimal.bad.at_least,
    ) == (4, 45, 0, 1)
    assert (
        minimal.exposure.reference_orders,
        minimal.eligible.active_before_months,
        minimal.eligible.active_in_window,
    ) == (None, None, False)
    assert minimal.bad.rules == (BadRule(Severity.MINOR, Harm.HIGH),)
    assert describe_definition(minimal)["bad"] == ["minor severity or more, high harm or more"]
    assert (minimal.bad.count, minimal.bad.share, minimal.bad.amount_minor, minimal.bad.worst) == (
        *("incidents", None, None, None),
    )
    assert (minimal.bad.least_orders, minimal.bad.weigh_by, minimal.is_rate, minimal.orders_needed) == (
        0,
        "sellers",
        False,
        0,
    )
    assert (
        minimal.bad.suspended,
        minimal.eligible.left,
        minimal.eligible.least_share,
        minimal.observation.embargo_days,
    ) == (True, "keep", 0.5, 0)


def test_what_a_study_states_arrives_as_it_is(tmp_path: Path) -> None:
    stated = study(
        tmp_path,
        """
name = "full"
marketplace = "acme"
attributes = [{ name = "size", default = 2, direction = 1 }, { name = "kind", one_of = ["a", "b"] }]
[observation]
train = [2023-01-01]
test = ["2024-01-01"]
[window]
months = 6
maturity_days = 30
[bad]
at_least = 2
any = [{ severity = "major", category = "ip" }, { violation_type = "fake_reviews" }]
[exposure]
reference_orders = 500
slope = 1
[eligible]
active_before_months = 24
active_in_window = true
[constants]
severity_weights = { critical = 60 }
rate_damping_orders = 5
[features]
without = ["counterfeit_mass", "tenure", "lost_dispute_rate_90d"]
with = ["lost_dispute"]
[model]
rounds = 7
seed = 3
parameters = { num_leaves = 4 }
""",
    )
    assert (stated.observation.train, stated.observation.test, stated.window.days, stated.window.months) == (
        ("2023-01-01",),
        ("2024-01-01",),
        None,
        6,
    )
    assert stated.bad.rules == (
        BadRule(Severity.MAJOR, category=Category.IP),
        BadRule(violation_type="fake_reviews"),
    )
    assert stated.constants.severity_weights[Severity.CRITICAL] == 60
    assert stated.constants.rate_damping == 5.0
    assert (stated.exposure.reference_orders, stated.exposure.slope) == (500.0, 1.0)
    assert (stated.model.rounds, stated.model.seed, dict(stated.model.parameters)) == (7, 3, {"num_leaves": 4})
    keys = [feature.key for feature in stated.features]
    assert keys[-3:] == ["attribute.size@1", "attribute.kind=a@1", "attribute.kind=b@1"]
    assert len(keys) == len(PAGE_FEATURES) - 1 + 3
    assert "lost_dispute_rate_365d@1" in keys
    assert not [key for key in keys if key.startswith(("counterfeit_mass", "tenure"))]


def test_bad_as_it_is_stated_arrives_as_it_is(tmp_path: Path) -> None:
    table = '[bad]\ncount = "service_failures"\nshare = 0.2\nleast_orders = 30\nworst = 0.1\nweigh_by = "orders"\n'
    stated = study(tmp_path, MINIMAL[: MINIMAL.index("[bad]")] + table)
    assert (stated.bad.rules, stated.bad.count, stated.bad.share, stated.bad.worst) == (
        (),
        "service_failures",
        0.2,
        0.1,
    )
    assert (stated.bad.least_orders, stated.bad.weigh_by, stated.is_rate, stated.orders_needed) == (
        30,
        "orders",
        True,
        30,
    )
    assert describe_definition(stated)["bad"] == ["settled orders that failed"]
    priced = study(tmp_path, MINIMAL + 'amount_minor = 500\ncurrency = "EUR"\n')
    assert (priced.bad.amount_minor, priced.bad.currency, priced.is_rate, priced.orders_needed) == (
        500,
        "EUR",
        False,
        0,
    )
    events = '[observation]\nat = "inspection"\n'
    days = 'train_from = "2020-01-01"\ntrain_to = "2020-06-01"\ntest_from = "2021-01-01"\ntest_to = "2021-06-01"\n'
    assert "has each on a day of its own" in refusal(tmp_path, MINIMAL + "worst = 0.1\n" + events + days)


def test_a_study_frees_exposure_and_tenure_and_nothing_else(tmp_path: Path) -> None:
    stated = study(tmp_path, MINIMAL + '\n[directions]\nexposure = "free"\ntenure = "free"\n')
    changed = {f.key for f in stated.features if isinstance(f, Feature) and f.direction != FEATURES[f.key].direction}
    assert changed == {"exposure@1", "tenure_days@1"}
    assert {f.direction for f in stated.features if f.key in changed} == {0}
    assert (
        study(tmp_path, MINIMAL + '\n[directions]\nexposure = "fixed"\n').features == study(tmp_path, MINIMAL).features
    )


def test_every_wrong_part_is_named_at_once(tmp_path: Path) -> None:
    said = refusal(
        tmp_path,
        """
marketplace = 7
color = "red"
[observation]
train = ["2023-01-01"]
step_days = 0
[window]
days = 180
months = 6
maturity_days = -1
[bad]
any = [{ harm = "dreadful" }]
[exposure]
reference_orders = -5
[model]
rounds = "many"
parameters = { objective = "regression", seed = 2 }
speed = 3
""",
    )
    for part in (
        "name must be given as text of 1 to 500 printable characters; it is missing",
        "marketplace must be given as text of 1 to 500 printable characters, not 7",
        'bad.any[0].harm must be one of low, medium, high, extreme, not "dreadful"',
        "window must give either days or months",
        "window.maturity_days must be a whole number, 0 to 36,500, not -1",
        "exposure.reference_orders must be left out, or a number, 0.001 to 1,000,000,000, not -5",
        "observation must give both train and test, or neither",
        "observation.step_days must be a whole number, 1 to 36,500, not 0",
        'model.rounds must be a whole number, 1 to 20,000, not "many"',
        "model.parameters may not set objective, seed: the certificate rests on what training sets",
        "color is not a part of a study",
        "model.speed is not a part of a study; did you mean seed?",
    ):
        assert part in said, part


HIGH = 'any = [{ harm = "high" }]'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("days = 180", "", "window must give either days or months"),
        ("days = 180", "days = 0", "window.days must be a whole number, 1 to 36,500, not 0"),
        (HIGH, "any = []", "bad.any must name at least one kind of violation"),
        (HIGH, "any = [3]", "bad.any must be a list of tables"),
        (
            '{ harm = "high" }',
            '{ harmful = "high" }',
            "bad.any[0].harmful is not a part of a study; did you mean harm?",
        ),
        ('{ harm = "high" }', '{ category = "murder" }', "bad.any[0].category must be one of counterfeit, ip, safety"),
        ('{ harm = "high" }', "{ severity = 3 }", "bad.any[0].severity must be one of minor"),
        ('{ harm = "high" }', '{ violation_type = "fraud" }', "is no violation type: 'fraud'; see docs/reference"),
    ],
)
def test_a_wrong_part_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert MINIMAL.count(old) == 1
    assert message in refusal(tmp_path, MINIMAL.replace(old, new))


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("[bad]\nat_least = 0", "bad.at_least must be a whole number, 1 to"),
        ('[bad]\nsuspended = "yes"', 'bad.suspended must be true or false, not "yes"'),
        ('[bad]\ncount = "orders"', "bad.count must be one of incidents, service_failures"),
        ('[bad]\ncount = "service_failures"', "bad.count that orders do: leave out one of both"),
        ("[bad]\nshare = 0", "bad.share must be left out, or a number, 0.000001 to 1, not 0"),
        ("[exposure]\nreference_orders = 9\n[bad]\nshare = 0.2", "bad.share is a matter of the count over"),
        ("[exposure]\nreference_orders = 9\n[bad]\nworst = 0.2", "in place of bad.worst"),
        ("[bad]\nworst = -0.1", "bad.worst must be left out, or a number"),
        ("[bad]\namount_minor = 5", "bad needs both amount_minor and currency, or neither"),
        ('[bad]\ncurrency = "EUR"', "bad needs both amount_minor and currency, or neither"),
        ('[bad]\nweigh_by = "loss"', "bad.weigh_by must be one of sellers, orders"),
        ('[eligible]\nleft = "weight"\n[bad]', "eligible.left must be one of keep, exclude"),
        ("[eligible]\nleast_share = 1.01\n[bad]", "eligible.least_share must be left out, or a number"),
        ('[directions]\nexposure = "up"\n[bad]', "directions.exposure must be one of fixed, free"),
        ('[directions]\nincidents = "free"\n[bad]', "directions.incidents is not a part of a study"),
        ("[exposure]\nslope = 1\n[bad]", "exposure.slope needs exposure.reference_orders beside it"),
        (
            "[exposure]\nreference_orders = 5\nslope = 11\n[bad]",
            "exposure.slope must be left out, or a number, -10 to 10",
        ),
        ("[constants]\nrate_damping_orders = 0\n[bad]", "constants.rate_damping_orders must be left out, or a number"),
        ("[constants]\nrate_damping_orders = inf\n[bad]", "numbers must be finite"),
        ("[constants]\nseverity_weights = { minor = 64 }\n[bad]", "minor must be a whole number, 1 to 63, not 64"),
        ("[constants]\nseverity_weights = { tiny = 1 }\n[bad]", "constants.severity_weights.tiny is not a part"),
        ("[constants]\nseverity_weights = { minor = 40 }\n[bad]", "a graver severity never weighs less"),
        ('[features]\nwithout = ["counterfiet"]\n[bad]', 'beginnings of features, not "counterfiet"'),
        ('[features]\nwithout = [""]\n[bad]', "features.without leaves fewer than two features"),
        ("[features]\npairs = [['exposure']]\n[bad]", "features.pairs ['exposure'] must name two features of"),
        ("[features]\npairs = [['exposure', 'tenure_days']]\n[bad]", "would break a direction: one must be of"),
        (
            "[features]\npairs = [['incident_rate_365d', 'exposure']]\n[directions]\nexposure = 'free'\n[bad]",
            "['incident_rate_365d', 'exposure'] would break a direction",
        ),
        ("[features]\npairs = [['exposure', 'exposure']]\n[bad]", "must be two features, and each in one pair"),
        ('[observation]\ntrain = ["1 May"]\ntest = ["x"]\n[bad]', 'must be a list of one or more of days, not "1 May"'),
        ('[observation]\ntrain = ["2024-13-01"]\ntest = ["2024-13-01"]\n[bad]', 'of days, not "2024-13-01"'),
        ('[[attributes]]\nname = "a"\ndirection = 2\n[bad]', "attributes[a].direction must be a whole number, -1 to 1"),
        ('[[attributes]]\nname = "a"\none_of = "xy"\n[bad]', "attributes[a].one_of must be a list of texts"),
        ('[[attributes]]\nname = "a"\n[[attributes]]\nname = "a"\n[bad]', "the same feature twice"),
        ("[[attributes]]\nnames = 1\n[bad]", "attributes[0].names is not a part of a study; did you mean name?"),
        ("[monitor]\npoints = 25\n[bad]", "monitor.points must be a whole number, 1 to 24, not 25"),
        ("[monitor]\nignore = ['']\n[bad]", "monitor.ignore must be a list of one or more of beginnings of features"),
        ("[monitor]\npsy = 1\n[bad]", "monitor.psy is not a part of a study; did you mean psi?"),
    ],
)
def test_a_wrong_part_beside_a_right_study_is_named(tmp_path: Path, stated: str, message: str) -> None:
    assert message in refusal(tmp_path, MINIMAL.replace("[bad]", stated))


def test_a_mistyped_name_is_told_once_with_the_one_most_like_it(tmp_path: Path) -> None:
    said = refusal(tmp_path, MINIMAL.replace("[window]", "[windw]").replace("[bad]", "[bad]\nat_lest = 2"))
    assert "windw is not a part of a study; did you mean window?" in said
    assert "windw.days" not in said
    assert "bad.at_lest is not a part of a study; did you mean at_least?" in said
    assert refusal(tmp_path, MINIMAL + "[zzz]\na = 1\n").endswith("zzz is not a part of a study")


def test_a_file_that_is_no_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no study"):
        load_study(tmp_path / "absent.toml")
    with pytest.raises(ConfigurationWrong, match="is not TOML"):
        study(tmp_path, "name = ")
    (tmp_path / "study.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigurationWrong, match="is not TOML"):
        load_study(tmp_path / "study.toml")
    with pytest.raises(ConfigurationWrong, match="cannot be read: Is a directory"):
        load_study(tmp_path)


def test_the_digest_is_of_what_is_stated_not_of_how(tmp_path: Path, minimal: Study) -> None:
    tables = MINIMAL.index("[window]"), MINIMAL.index("[bad]")
    turned = f"# a comment\n{MINIMAL[: tables[0]]}{MINIMAL[tables[1] :]}{MINIMAL[tables[0] : tables[1]]}"
    assert study(tmp_path, turned) == minimal
    assert study(tmp_path, MINIMAL.replace("180", "181")).digest != minimal.digest
    dated = MINIMAL + "[observation]\ntrain = [{0}]\ntest = [{0}]\n"
    plain, quoted = (study(tmp_path, dated.replace("{0}", day)) for day in ("2023-01-01", '"2023-01-01"'))
    assert plain == quoted


def test_a_training_window_up_to_the_test_point_is_refused(minimal: Study) -> None:
    as_of = parse_day("2026-01-01")
    stated = restated(
        minimal, observation={"train": ("2023-01-01",), "test": ("2023-07-10",)}, window={"maturity_days": 10}
    )
    train, test = stated.find_points(as_of)
    assert [format_day(point.window_end) for point in (*train, *test)] == ["2023-06-30", "2024-01-06"]
    with pytest.raises(
        ConfigurationWrong, match=r"training point 2023-01-01 and its maturity are not over by the test"
    ):
        restated(stated, window={"maturity_days": 11}).find_points(as_of)
    with pytest.raises(ConfigurationWrong, match=r"training point 2023-01-02 and its maturity"):
        restated(stated, observation={"train": ("2022-01-01", "2023-01-02")}).find_points(as_of)
    with pytest.raises(ConfigurationWrong, match=r"are not over by the test point 2022-06-01"):
        restated(stated, observation={"test": ("2023-07-10", "2022-06-01")}).find_points(as_of)


def test_a_test_window_that_the_ledger_does_not_cover_is_refused(minimal: Study) -> None:
    stated = restated(
        minimal, observation={"train": ("2022-01-01",), "test": ("2023-01-01",)}, window={"maturity_days": 10}
    )
    over = parse_day("2023-01-01") + 180 + 10
    assert stated.find_points(over)[1][0].window_end == over - 10
    with pytest.raises(
        ConfigurationWrong, match=r"of test point 2023-01-01 and its maturity are not over by 2023-07-09"
    ):
        stated.find_points(over - 1)
    spans = EventPoints(Kind.INSPECTION, 0, 90, over - 90, over)
    with pytest.raises(ConfigurationWrong, match=r"the window of observation.test_to and its maturity are not over"):
        restated(stated, observation={"train": (), "test": (), "events": spans}).find_points(over)


@given(
    as_of=st.integers(0, 40_000),
    window=st.one_of(st.tuples(st.integers(1, 400), st.none()), st.tuples(st.none(), st.integers(1, 30))),
    maturity=st.integers(0, 200),
    points=st.integers(1, 12),
    step=st.integers(1, 90),
)
def test_points_that_a_study_leaves_out_are_the_latest(
    minimal: Study, as_of: int, window: tuple[int | None, int | None], maturity: int, points: int, step: int
) -> None:
    stated = restated(
        minimal,
        window={"days": window[0], "months": window[1], "maturity_days": maturity},
        observation={"train_points": points, "step_days": step},
    )
    train, (test,) = stated.find_points(as_of)
    assert test.window_end + maturity <= as_of < stated.point_at(test.day + 1).window_end + maturity
    assert train[-1].window_end + maturity <= test.day < stated.point_at(train[-1].day + 1).window_end + maturity
    assert [b.day - a.day for a, b in pairwise(train)] == [step] * (points - 1)


@pytest.mark.parametrize(
    ("day", "months", "end"),
    [
        ("2023-01-01", 12, "2024-01-01"),
        ("2023-01-31", 1, "2023-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2023-11-30", 3, "2024-02-29"),
        ("2023-12-15", 1, "2024-01-15"),
    ],
)
def test_a_window_of_months_ends_on_the_same_day_or_the_last(minimal: Study, day: str, months: int, end: str) -> None:
    stated = restated(minimal, window={"days": None, "months": months})
    assert format_day(stated.point_at(parse_day(day)).window_end) == end
