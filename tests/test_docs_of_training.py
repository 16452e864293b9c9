import re
import tomllib
from pathlib import Path

import pytest

from scoring.base.parts import Part
from service.ingest.mapping.rules import compile_mapping
from tests.docs_in_step import DOCS
from tests.helpers.pages import follow
from training.gates.table import GATES
from training.study import loading
from training.study.context import LOOK_BACK, OF_INSPECTION, ContextSource
from training.study.definition import BadRule
from training.study.loading import load_study

STUDIES, MAPPINGS = (
    (DOCS / "reference" / "study.md").read_text(),
    (DOCS / "reference" / "mappings.md").read_text(),
)
MINIMAL = 'name = "n"\nmarketplace = "m"\n[window]\ndays = 9\n[bad]\nany = [{ harm = "high" }]\n'
VIOLATION = {"kind": "violation", "violation_type": "counterfeit_goods", "harm": "high", "source": "brand"}
LISTED = {"attributes": {"name", "one_of", "default", "direction"}, "context": set(ContextSource.__dataclass_fields__)}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_page_on_studies(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    update = pytestconfig.getoption("update_docs")
    follow(DOCS / "tutorials" / "your-own-file.md", tmp_path, update=update, near=0.02, SELLERTRUST_MARKETPLACE="mine")
    assert (tmp_path / "report.html").stat().st_size > 100_000


def record_asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the paths of the parts that readers ask for from now on: a page is complete if it names each."""
    asked: set[str] = set()
    value, contains = Part.value, Part.__contains__

    def listen(part: Part, name: str) -> None:
        asked.add(".".join(filter(None, (part.path, name))))

    # No reader states what it asks for.
    monkeypatch.setattr(Part, "value", lambda part, name: (listen(part, name), value(part, name))[1])
    monkeypatch.setattr(Part, "__contains__", lambda part, name: (listen(part, name), contains(part, name))[1])
    return asked


def test_the_page_on_studies_names_every_part_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = record_asked(monkeypatch)
    (tmp_path / "study.toml").write_text(MINIMAL)
    load_study(tmp_path / "study.toml")
    wanted: dict[str, set[str]] = {table: set(parts) for table, parts in LISTED.items()}
    for table, _, part in (path.partition(".") for path in asked if "[" not in path and path.count(".") == 1):
        wanted.setdefault(table, set()).add(part)
    named = {}
    for section in STUDIES.split("\n### [")[1:]:
        table = section[: section.index("]")].strip("[")
        cells = re.findall(r"^\| (`[^|]*) \|", section.split("\n## ")[0], re.MULTILINE)
        named[table] = set(re.findall(r"`(\w+)`", " ".join(cells)))
    missing = {table: parts - named[table] for table, parts in wanted.items() if parts - named[table]}
    assert (missing, named.keys()) == ({}, wanted.keys())
    code = "".join(path.read_text() for path in Path(loading.__file__).parent.glob("*.py"))
    beside = {part for table, parts in named.items() for part in parts - wanted[table]}
    assert [part for part in beside if not re.search(rf"\b{part}\b", code)] == []
    for word in (*BadRule.__dataclass_fields__, *LOOK_BACK, *(f"inspection.{field}" for field in OF_INSPECTION)):
        assert f"`{word}`" in STUDIES, word


def test_the_page_on_studies_states_every_gate_as_it_is() -> None:
    for gate in GATES:
        bounds = "fixed" if gate.least == gate.most else f"{gate.least:,.10g} to {gate.most:,.10g}"
        assert f"\n| `{gate.name}` | {gate.kind} | {gate.limit:,.10g} | {bounds} | " in STUDIES, gate.name


def test_the_page_on_studies_states_the_defaults_of_a_study(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(MINIMAL)
    study = load_study(tmp_path / "study.toml")
    for part, value in {
        "train_points": study.observation.train_points,
        "step_days": study.observation.step_days,
        "embargo_days": study.observation.embargo_days,
        "maturity_days": study.window.maturity_days,
        "at_least": study.bad.at_least,
        "suspended": study.bad.suspended,
        "count": f'`"{study.bad.count}"`',
        "least_orders": study.bad.least_orders,
        "weigh_by": f'`"{study.bad.weigh_by}"`',
        "active_in_window": study.eligible.active_in_window,
        "left": f'`"{study.eligible.left}"`',
        "least_share": study.eligible.least_share,
        "rate_damping_orders": study.constants.rate_damping,
        "exposure_scale_orders": study.constants.exposure_scale,
        "rounds": study.model.rounds,
        "seed": study.model.seed,
        "seeds": study.model.seeds,
        "psi": study.monitor.psi,
        "csi": study.monitor.csi,
        "calibration": study.monitor.calibration,
        "points": study.monitor.points,
        "segment_rows": study.gates.segment_rows,
    }.items():
        text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if value != str(value) else value
        assert re.search(rf"^\| `{part}` \|( \|)? {re.escape(text)} \|", STUDIES, re.MULTILINE), part
    weights = ", ".join(f"{s.name.lower()} {w}" for s, w in study.constants.severity_weights.items())
    assert f"| `severity_weights` | {weights} |" in STUDIES
    from training.fitting.fit import DEFAULTS

    for name, value in DEFAULTS.items():
        assert f"`{name} = {str(value).lower()}`" in STUDIES


def test_the_page_on_mappings_names_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = record_asked(monkeypatch)
    grade, when = {"column": "a", "map": {"a": 1}}, {"column": "a", "equals": "1"}
    rule = {"kind": "exposure", "entry_id": "x-{a}", "seller": "{a}", "day": "{b}", "late": grade, "when": when}
    file = {"path": "f", "join": [{"path": "g", "on": "a", "take": ["c"]}], "entries": [rule]}
    dates = {"format": "%Y-%m-%d %H:%M", "offset": "+01:00"}
    match = {"identifiers": [{"attribute": "a", "value": "{a}"}]}
    compile_mapping({"marketplace": "m", "dates": dates, "match": match, "files": [file]})
    operators = {path.rpartition(".")[2] for path in asked if ".when." in path} - {"column"}
    assert operators == set(
        re.findall(r"^\| `(\w+) = ", MAPPINGS.split("## Conditions")[1].split("##")[0], re.MULTILINE)
    )
    for path in asked:
        place, _, part = re.sub(r"\[\d+\]", "", path).rpartition(".")
        written = rf"`\[*(files\.)?{part}\]*`" if place in ("", "files") else rf"\b{part}\b"
        assert part in ("day", "late") or re.search(written, MAPPINGS), path
    common = {"kind", "when", "entry_id", "seller", "occur_time", "report_time"}
    assert common <= set(re.findall(r"^\| `(\w+)` \|", MAPPINGS, re.MULTILINE))
    for word in ("count", "sum", "epoch_seconds", "epoch_milliseconds", "{@seller}", "{@verified}", "{line}", ":day}"):
        assert word in MAPPINGS, word


def test_all_that_the_page_on_mappings_shows_can_be_stated() -> None:
    sections = {section.split("\n")[0]: section for section in MAPPINGS.split("\n## ")}
    shown = {name: re.findall(r"^\| (`[^|]*`) \|", sections[name], re.MULTILINE) for name in sections}
    compiled = 0
    for name, form in {
        "Values": "brand = {}",
        "Conditions": 'when = {{ column = "a", {} }}',
        "Dates": "dates = {}",
    }.items():
        for cell in shown[name]:
            for text in re.findall(r"`([^`]+)`", cell):
                stated = tomllib.loads(text if "= " in text.split("{")[0] and name == "Values" else form.format(text))
                rule = {"kind": "exposure", "entry_id": "x-{a}", "seller": "{a}", "day": "{b}", "settled_orders": 1}
                dates = {"dates": stated.pop("dates")} if "dates" in stated else {}
                if isinstance(brand := stated.get("brand"), dict) and {"count", "sum"} & set(brand):
                    stated = {"late": brand}
                elif "brand" in stated:
                    rule = {**VIOLATION, "entry_id": "v-{a}", "seller": "{a}", "occur_time": "{b}"}
                if "attributes" in stated:
                    rule = {"kind": "identity", "entry_id": "i-{a}", "seller": "{a}", "occur_time": "{b}"}
                compile_mapping({"marketplace": "m", "files": [{"path": "f", "entries": [rule | stated], **dates}]})
                compiled += 1
    assert compiled == 13 + 9 + 5
    for block in re.findall(r"```toml\n(.*?)```", MAPPINGS, re.DOTALL):
        stated = tomllib.loads(block)
        rule = {"kind": "exposure", "entry_id": "x-{a}", "seller": "{@seller}", "day": "{b}", "settled_orders": 1}
        compile_mapping({"marketplace": "m", "files": [{"path": "f", "entries": [rule]}], **stated})
