import copy
import os
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape

import pytest

from service.cli.lazy import load_command
from tests.training.report import sample
from tests.training.report.sample import Json, poisoned
from training.report import sections
from training.report.page import render
from training.report.parts import Block, PartAbsent, Reading, count, listed, number, percent, plural, spoken
from training.report.sections import PLANS, ReportFault

LEFT_OUT = 'class="missing"'


def changed(path: str, value: Json) -> dict[str, Json]:
    parts = copy.deepcopy(sample.parts())
    *steps, last = path.split(".")
    part = parts
    for step in steps:
        part = part[step]
    part[last] = value
    return parts


def words(html: str) -> str:
    bare = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", bare)


def test_a_whole_evaluation_leaves_nothing_out() -> None:
    html = render(Reading(**sample.parts()))
    assert LEFT_OUT not in html
    titles = re.findall(r'<h2 id="[a-z]+-title">(.*?)</h2>', html)
    assert titles == [*(plan.title for plan in PLANS), "Intended use", "Glossary"]
    assert re.findall(r'<li><a href="#([a-z]+)">', html) == [*(plan.key for plan in PLANS), "use", "glossary"]
    assert "log-loss Brier candidate" in words(html)
    assert "does not tell sellers apart" not in words(html)


def test_the_page_names_nothing_outside_itself() -> None:
    html = render(Reading(**sample.parts()))
    assert "<script" not in html
    assert "@import" not in html
    assert not re.search(r"""(?:src|href|xlink:href)\s*=\s*["'](?!#)""", html)
    assert "url(" not in html
    assert not re.search(r"https?://", html)


def test_two_hundred_tables_stay_below_two_megabytes() -> None:
    tables = sample.evaluation()["page"]["tables"]
    many = [{**row, "features": [f"{row['features'][0]}-{k}"]} for k in range(3) for row in tables][:200]
    html = render(Reading(**changed("evaluation.page.tables", many)))
    assert len(html.encode()) < 2_000_000
    assert html.count('class="plot"') > 150


@pytest.mark.long
def test_the_same_input_gives_the_same_bytes() -> None:
    imports = "from tests.training.report.sample import parts; from training.report.page import render"
    code = f"{imports}; from training.report.parts import Reading; print(render(Reading(**parts())))"
    other = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=other)
    assert done.stdout.decode().strip() == render(Reading(**sample.parts())).strip()


def test_a_model_that_passed_shows_the_command_to_promote_it() -> None:
    text = words(render(Reading(**sample.parts())))
    assert "Passed: ready to be promoted" in text
    assert f"sellertrust model promote {sample.DIGEST}" in text


def test_a_failed_hard_gate_says_which_and_who_may_override_it() -> None:
    text = words(render(Reading(**sample.parts(("ranking", "latency")))))
    assert "Not passed: 2 hard gates failed" in text
    assert "may be overridden by a named person" in text
    assert '--reason "WHY" --override YOUR-NAME' in unescape(text)
    closed = words(render(Reading(**sample.parts(("parity",)))))
    assert "A failure of parity cannot be overridden" in closed
    assert "model promote" not in closed


@pytest.mark.parametrize("failed", [(), ("ranking",), ("psi",), ("ranking", "psi")])
def test_the_command_of_the_report_has_no_unknown_option(failed: tuple[str, ...]) -> None:
    known = {option for parameter in load_command("model").commands["promote"].params for option in parameter.opts}
    shown = re.findall(r"sellertrust model promote [^<]*", unescape(render(Reading(**sample.parts(failed)))))
    assert shown
    assert {word for line in shown for word in re.findall(r"--[a-z-]+", line)} <= known


@pytest.mark.parametrize("gate", ["psi", "ranking"], ids=["advisory", "hard, but too few bad rows decide"])
def test_a_gate_to_be_signed_asks_for_it_and_does_not_stop(gate: str) -> None:
    parts = sample.parts((gate,))
    row = next(row for row in parts["gates"]["gates"] if row["gate"] == gate)
    row |= {"kind": "advisory", "text": "Not enough evidence: 40 bad rows, about 240 are needed."}
    text = words(render(Reading(**parts)))
    assert "Passed, with 1 gate to sign off No hard gate failed." in text
    assert f"{gate}: Not enough evidence: 40 bad rows" in text
    assert "--sign-off YOUR-NAME" in text
    assert "--override" not in text


@pytest.mark.parametrize(
    ("predicted", "title"),
    [
        (0.103, "Predicts 3 % too high overall"),
        (0.09, "Predicts 10 % too low overall"),
        (0.1, "Predicts the overall level"),
    ],
)
def test_a_title_states_what_the_numbers_say(predicted: float, title: str) -> None:
    parts = changed("evaluation.predicted", predicted)
    parts["evaluation"]["base_rate"] = 0.1
    assert title in words(render(Reading(**parts)))


@pytest.mark.long
def test_a_better_grade_that_is_not_safer_is_said() -> None:
    grades = sample.evaluation()["grades"]
    assert "better grades are safer throughout" in words(render(Reading(**sample.parts())))
    rates = [row["observed"] for row in grades]
    turned = [{**row, "observed": rate} for row, rate in zip(grades, reversed(rates), strict=True)]
    assert "a better grade was not always safer" in words(render(Reading(**changed("evaluation.grades", turned))))


def test_the_observation_points_say_when_truth_was_read() -> None:
    text = words(render(Reading(**sample.parts())))
    assert "The last training window ends 35 days before the test" in text
    assert "2024-06-19 train 2024-12-16 2025-01-30" in text
    assert "2025-05-20 test 2025-11-16 2025-12-31" in text


@pytest.mark.parametrize("key", ["auc", "grades", "page", "segments"])
@pytest.mark.parametrize("odd", [None, "x", 3, {"lightgbm": None}])
def test_an_odd_figure_costs_its_part_and_not_the_report(key: str, odd: Json) -> None:
    with pytest.warns(ReportFault):
        html = render(Reading(**changed(f"evaluation.{key}", odd)))
    assert html.count("<section ") == len(PLANS) + 2
    assert 1 <= html.count(LEFT_OUT) < 5


def test_an_error_of_ours_is_told_from_what_a_model_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(_: Reading) -> list[Block]:
        raise ZeroDivisionError("no points")

    def lacking(_: Reading) -> list[Block]:
        raise PartAbsent("there is one month")

    parts = [("Grade table", faulty), ("Months", lacking)]
    plans = [replace(plan, parts=parts) if plan.key == "calibration" else plan for plan in PLANS]
    monkeypatch.setattr(sections, "PLANS", plans)
    with pytest.warns(ReportFault, match="lacks its part 'Grade table': this program failed"):
        text = words(render(Reading(**sample.parts())))
    assert "Grade table : left out, since this program failed on it (ZeroDivisionError: no points)" in text
    assert "Months : left out, since there is one month." in text


def test_the_grade_of_sellers_without_a_score_has_no_points() -> None:
    row = next(row for row in sample.evaluation()["grades"] if row["tier"] == "unrated")
    assert re.search(rf"unrated none {row['rows']} [\d.]+ % {row['bad']} ", words(render(Reading(**sample.parts()))))


def test_one_month_is_no_trend() -> None:
    assert "Months: predict" in words(render(Reading(**sample.parts())))
    text = words(render(Reading(**changed("evaluation.by_month", sample.evaluation()["by_month"][:1]))))
    assert "All test rows were observed in 2025-01: one month is no trend" in text
    assert "Months: predict" not in text


def test_a_segment_of_one_group_does_not_repeat_the_whole() -> None:
    [row, *_] = sample.evaluation()["segments"]["sellers"]
    text = words(render(Reading(**changed("evaluation.segments.sellers", [row]))))
    assert f"in training: the data does not tell sellers apart by it: all test rows are {row['name']}." in text
    assert "not seen in training: pr" not in text


def test_without_a_champion_the_report_says_so() -> None:
    parts = sample.parts()
    del parts["evaluation"]["auc"]["champion"]
    parts["evaluation"]["migration"] = None
    assert words(render(Reading(**parts))).count("there was no champion to compare with") == 1


@pytest.mark.long
def test_every_text_of_the_input_is_escaped() -> None:
    html = render(Reading(**poisoned(sample.parts())))
    assert LEFT_OUT not in html
    assert html.count("&lt;script&gt;") > 100
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("</style>") == 1
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", html)[0]


def test_numbers_read_as_people_write_them() -> None:
    assert (number(-0.5, 1), number(None), count(12_345.4)) == ("\u22120.5", "\u2013", "12,345")
    assert [percent(x) for x in (0, 0.00048, 0.0048, 0.123, 1)] == ["0 %", "0.048 %", "0.48 %", "12.3 %", "100 %"]
    assert (plural(1, "row"), plural(2, "row")) == ("1 row", "2 rows")
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"]), listed(["a", "b", "c"], 1)) == (
        "none", "a", "a, b and c", "a and 2 more",
    )  # fmt: skip
    assert spoken({"value": 0.812, "low": 0.79, "high": 0.834}) == "0.812 (0.790 to 0.834)"
