from collections.abc import Iterator
from pathlib import Path

import pytest

from sellertrust.client import Client
from service.registry.registry import Registry
from tests.helpers.models import evaluated, gate, gates_json, publish
from tests.helpers.refusals import refused
from tests.helpers.servers import running_server, served
from tests.helpers.worlds import artifact


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


@pytest.fixture
def client(tmp_path: Path, registry: Registry) -> Iterator[Client]:
    with served(tmp_path, Path(registry.place)) as found:
        yield found


SAID = {"actor": "bert", "reason": "better"}


@pytest.mark.long
def test_models_are_listed_page_by_page(client: Client, registry: Registry) -> None:
    first = publish(registry, parts=evaluated(0, 0.7))
    beside = {"gates.json": gates_json(gate("size", ok=False)), "report.html": b"<p>"}
    second = publish(registry, parts=evaluated(1, 0.8), attachments=beside)
    third = publish(registry, 2)
    (Path(registry.place) / "models" / third / "lineage.json").write_bytes(b"[]")
    pages = list(client.list_models(page_size=1))
    assert [model.digest for model in pages] == sorted([first, second, third])
    found = {model.digest: model for model in pages}
    assert (list(found[first].aliases), found[first].gates, found[first].has_report) == (["champion"], "passed", False)
    assert (found[second].gates, found[second].has_report, found[second].study) == ("failed", True, "tests")
    assert dict(found[second].figures) == {"auc": 0.8, "log_loss": 0.25}
    assert (list(found[third].aliases), found[third].damaged, found[third].study) == (["challenger"], True, "")
    assert found[second].name == f"models/{second}"


def test_a_model_is_shown_whole(client: Client, registry: Registry) -> None:
    publish(registry)
    beside = {"gates.json": gates_json(gate("size"), gate("psi", ok=False, kind="advisory"))}
    second = publish(registry, parts=evaluated(1, 0.8), attachments=beside)
    shown = client.get_model(second[:7])
    model = shown.model
    assert client.wait_for_model(artifact().digest)
    assert client.get_model("challenger").model == client.get_model(second).model == model
    assert client.get_model().serving_digest == client.get_model().model.digest == artifact().digest
    assert model.figures["auc.lightgbm.low"] == 0.78
    assert (model.features[0], len(model.features)) == (artifact().features[0].key, len(artifact().features))
    gates = {gate.gate: (gate.hard, gate.ok, gate.number, gate.HasField("limit")) for gate in model.gate_results}
    held = dict.fromkeys(("certificate", "parity", "size"), (True, True, 0.0, True))
    assert gates == held | {"psi": (False, False, 0.25, True)}
    loaded = registry.load(second)
    assert model.baseline_points == loaded.page.base
    assert model.evaluation_json.encode() == loaded.parts["evaluation.json"]
    assert model.certificate_json.encode() == loaded.parts["certificate.json"]


def test_two_models_are_compared_figure_by_figure(client: Client, registry: Registry) -> None:
    first, second = publish(registry, parts=evaluated(0, 0.7)), publish(registry, parts=evaluated(1, 0.8))
    found = client.diff_models("champion", second)
    assert (found.first, found.second) == (f"models/{first}", f"models/{second}")
    rows = {(row.section, row.name): (row.first, row.second) for row in found.rows}
    assert rows["evaluation", "auc.lightgbm.value"] == ("0.7", "0.8")
    assert rows["evaluation", "base_rate"] == ("0.1", "0.1")
    assert [name for section, name in rows if section in ("features", "parameters", "lineage")] == ["base"]
    (Path(registry.place) / "models" / second / "evaluation.json").unlink()
    error = refused("FAILED_PRECONDITION", "MODEL_REFUSED", client.diff_models, first, second)
    assert error.metadata == {"model": second}
    assert registry.place not in str(error)


def test_a_promotion_is_taken_over_and_a_rollback_too(client: Client, registry: Registry) -> None:
    failed = gates_json(gate("calibration", ok=False), gate("psi", ok=False, kind="advisory"))
    first, second = publish(registry), publish(registry, 1, attachments={"gates.json": failed})
    assert client.wait_for_model(first)
    error = refused("FAILED_PRECONDITION", "GATES_FAILED", client.promote_model, second, override="dora", **SAID)
    assert error.metadata == {"fixed": "", "hard": "calibration", "advisory": "psi"}
    done = client.promote_model("challenger", override="dora", sign_off="emil", **SAID)
    assert (done.champion, done.serving_digest) == (f"models/{second}", second)
    back = client.rollback_model(actor="carl", reason="complaints", champion=second)
    assert (back.champion, back.serving_digest) == (f"models/{first}", first)
    assert client.rollback_model(actor="carl", reason="complaints", champion=second) == back
    moves = list(client.list_model_moves(page_size=3))
    assert [(move.number, move.alias, move.model, move.actor) for move in moves] == [
        (1, "champion", f"models/{first}", "anna"),
        (2, "challenger", f"models/{second}", "anna"),
        (3, "champion", f"models/{second}", "bert"),
        (4, "champion", f"models/{first}", "carl"),
    ]
    assert (moves[2].figures["override"], moves[2].figures["sign_off"]) == ("dora", "emil")
    assert dict(moves[3].figures) == {"gates": "passed", "rollback": "yes", "previous": second, "principal": "local"}
    assert moves[0].move_time.ToJsonString() == "1970-01-01T00:00:01Z"
    assert client.rollback_model(actor="carl", reason="again").champion == f"models/{second}"


def test_what_is_not_there_or_not_well_said_is_refused_by_name(client: Client, registry: Registry) -> None:
    publish(registry)
    missing = "NOT_FOUND"
    for call in (
        lambda: client.get_model("nobody"),
        lambda: client.promote_model("f" * 64, **SAID),
        lambda: client.get_model_report("champion"),
        lambda: client.rollback_model(actor="c", reason="r"),
    ):
        refused(missing, "MODEL_NOT_FOUND", call)
    for call, fields in (
        (lambda: client.get_model("a b"), ["name"]),
        (lambda: client.diff_models("a/b", "x"), ["first"]),
        (lambda: client.promote_model("champion", actor="", reason=""), ["actor", "reason"]),
        (lambda: list(client.list_models(page_size=-1)), ["page_size"]),
    ):
        error = refused("INVALID_ARGUMENT", "", call)
        assert [field for field, _ in error.fields] == fields
    assert len(registry.history()) == 1


def test_the_report_comes_as_it_was_published(client: Client, registry: Registry) -> None:
    html = b"<!doctype html>" + b"<p>\xc3\xa4" * 500_000
    digest = publish(registry, attachments={"gates.json": gates_json(), "report.html": html})
    assert client.get_model_report() == html
    (Path(registry.place) / "models" / digest / "report.html").write_bytes(b"<p>better")
    refused("FAILED_PRECONDITION", "MODEL_REFUSED", client.get_model_report)


def test_a_server_without_a_registry_says_so(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        refused("NOT_FOUND", "MODEL_NOT_FOUND", client.get_model)
