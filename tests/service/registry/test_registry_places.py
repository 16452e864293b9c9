import json
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from scoring.base.errors import ArtifactRefused, ConfigurationWrong, InvalidInput, ModelNotFound
from scoring.model.artifact import MANIFEST, PARTS
from sellertrust.v1.model_service_pb2 import ModelMove
from service.cli.models import _make_model_move_row
from service.cli.output import Format
from service.registry.moves import CHALLENGER, CHAMPION, PREVIOUS, parse_move
from service.registry.registry import Registry
from tests.helpers.models import HARD, evaluated, gate, gates_json, parts_of, promote, publish
from tests.helpers.worlds import artifact


def change(place: Path | str, name: str, data: bytes | None) -> None:
    if isinstance(place, Path):
        (place / name).unlink() if data is None else (place / name).write_bytes(data)
        return
    store, root = fsspec.core.url_to_fs(place)
    store.rm_file(f"{root}/{name}") if data is None else store.pipe_file(f"{root}/{name}", data)


@pytest.mark.long
def test_what_is_published_comes_back_to_the_byte(place: Path | str) -> None:
    registry = Registry(place)
    assert (registry.champion_digest(), list(registry.digests()), registry.history()) == (None, [], [])
    first = publish(registry, parts=evaluated(0, 0.7))
    second = publish(registry, parts=evaluated(1, 0.75), reason="trained “anew”, für alle")
    promote(registry, second[:9])
    publish(registry, parts=evaluated(0, 0.7), reason="again")
    other = Registry(place)
    assert other.load(first).parts == evaluated(0, 0.7)
    assert list(other.digests()) == sorted([first, second])
    assert other.aliases() == {CHAMPION: second, CHALLENGER: first, PREVIOUS: first}
    moves = [(move.alias, move.digest, move.actor, move.reason, move.time) for move in other.history()]
    assert moves == [
        (CHAMPION, first, "anna", "trained", "1970-01-01T00:00:01Z"),
        (CHALLENGER, second, "anna", "trained “anew”, für alle", "1970-01-01T00:00:01Z"),
        (CHAMPION, second, "bert", "better", "1970-01-01T00:00:02Z"),
        (CHALLENGER, first, "anna", "again", "1970-01-01T00:00:01Z"),
    ]
    figures = {"auc": 0.75, "log_loss": 0.25, "gates": "passed", "gates_sha256": sha256(gates_json()).hexdigest()}
    assert [move.figures for move in other.history()][1:3] == [figures, figures | {"previous": first}]


def test_a_rollback_makes_the_previous_champion(registry: Registry) -> None:
    first, second, third = (publish(registry, number) for number in range(3))
    with pytest.raises(ModelNotFound, match="no model was champion before"):
        registry.rollback(actor="c", reason="r", now=3)
    for digest in (second, third, third):
        promote(registry, digest)
    assert registry.aliases() == {CHAMPION: third, PREVIOUS: second, CHALLENGER: third}
    assert registry.rollback(actor="carl", reason="complaints", now=3) == second
    assert registry.aliases()[CHAMPION] == second
    assert registry.aliases()[PREVIOUS] == third
    move = registry.history()[-1]
    assert (move.actor, move.reason) == ("carl", "complaints")
    assert move.figures == {"gates": "passed", "rollback": "yes", "previous": third}
    assert registry.rollback(actor="carl", reason="a mistake", now=4) == third
    assert first in registry.digests()


def test_a_rollback_of_a_named_champion_happens_once(registry: Registry) -> None:
    first, second, third = (publish(registry, number) for number in range(3))
    promote(registry, second)
    said = {"actor": "carl", "reason": "complaints", "now": 3, "champion": second}
    for name in (CHAMPION, second[:12], second.upper()):
        with pytest.raises(InvalidInput, match="champion: must be the whole digest, 64 digits"):
            registry.rollback(**said | {"champion": name})
    assert [registry.rollback(**said) for _ in range(3)] == [first] * 3
    assert len(registry.history()) == 5
    promote(registry, third)
    with pytest.raises(ArtifactRefused, match=f"model {second[:12]} is not champion, so it is not taken back"):
        registry.rollback(**said)
    assert registry.champion_digest() == third


def test_a_rollback_to_a_model_that_was_altered_is_refused(registry: Registry, place: Path | str) -> None:
    first, second = publish(registry), publish(registry, 1)
    promote(registry, second)
    change(place, f"models/{first}/model.txt", b"tree\n")
    with pytest.raises(ArtifactRefused, match=r"model\.txt of the artifact was altered") as caught:
        registry.rollback(actor="c", reason="r", now=3)
    assert str(place) not in caught.value.message, "where the registry lies is no caller's business"
    assert registry.champion_digest() == second


@pytest.mark.parametrize("name", [MANIFEST, *PARTS])
def test_a_damaged_part_is_noticed_and_mended(registry: Registry, place: Path | str, name: str) -> None:
    digest = publish(registry, attachments={"report.html": b"<p>"})
    whole = registry.read(digest)[name]
    for damage in (whole[:-1], b"", None):
        change(place, f"models/{digest}/{name}", damage)
        for use in (registry.load, registry.content, lambda _: promote(registry, CHAMPION)):
            with pytest.raises((ArtifactRefused, ModelNotFound)):
                use(digest)
    assert publish(registry, attachments=None) == digest
    assert registry.load(digest).parts == parts_of(0)
    assert registry.attachment(digest, "report.html") == b"<p>"


def test_publishing_the_same_twice_changes_nothing_but_the_log(registry: Registry, place: Path | str) -> None:
    digest = publish(registry)
    before = _files(place)
    assert publish(registry, attachments=None) == digest
    after = _files(place)
    assert {name for name in after if before.get(name) != after[name]} <= {"moves/000000002.json"}
    assert registry.champion_digest() == digest
    assert registry.gates(digest, registry.history()) is not None


def _files(place: Path | str) -> dict[str, object]:
    if isinstance(place, Path):
        files = [path for path in place.rglob("*") if path.is_file()]
        return {str(path.relative_to(place)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}
    store, root = fsspec.core.url_to_fs(place)
    return {path.removeprefix(f"{root}/"): store.info(path)["created"] for path in store.find(root)}


def test_moves_of_many_writers_are_all_kept(place: Path | str) -> None:
    first, second = publish(Registry(place)), publish(Registry(place), 1)
    promote(Registry(place), second)

    def write(writer: int) -> None:
        mine = Registry(place)
        for turn in range(5):
            mine.rollback(actor=f"w{writer}", reason=f"turn {turn}", now=turn)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    moves = Registry(place).history()[3:]
    assert [move.digest for move in moves] == [first, second] * 20
    assert [move.figures["previous"] for move in moves] == [second, first] * 20
    for writer in range(8):
        assert [move.reason for move in moves if move.actor == f"w{writer}"] == [f"turn {turn}" for turn in range(5)]


def test_a_follower_sees_each_move_by_the_stamp(place: Path | str) -> None:
    follower, writer = Registry(place), Registry(place)
    seen = [follower.stamp(), follower.stamp()]
    for number in range(3):
        publish(writer, number)
        seen += [follower.stamp(), follower.stamp()]
    assert seen[0::2] == seen[1::2]
    assert len(set(seen)) == 4


@pytest.mark.parametrize("name", ["gates.json", "report.html"])
def test_an_attachment_that_was_changed_or_removed_is_noticed(registry: Registry, place: Path | str, name: str) -> None:
    publish(registry)
    digest = publish(registry, 1, attachments={"gates.json": gates_json(HARD), "report.html": b"<p>"})
    for data in (gates_json(gate("calibration")), None):
        change(place, f"models/{digest}/{name}", data)
        with pytest.raises(ArtifactRefused, match=f"{name} (was altered|is missing)"):
            registry.attachment(digest, name)
    if name == "gates.json":
        with pytest.raises(ArtifactRefused, match=r"gates\.json is missing"):
            promote(registry, digest)


def test_gates_laid_beside_a_model_are_not_believed(registry: Registry, place: Path | str) -> None:
    digest = publish(registry)
    change(place, f"models/{digest}/gates.json", gates_json(gate("calibration")))
    with pytest.raises(ArtifactRefused, match=r"gates\.json was altered"):
        promote(registry, digest)


@pytest.mark.parametrize(
    "attachments",
    [
        {"gates.json": b"{}"},
        {"gates.json": b'{"gates": [{"gate": "a", "kind": "soft", "ok": true}]}'},
        {"gates.json": b'{"gates": [{"gate": "a", "kind": "hard", "ok": "yes"}]}'},
        {"gates.json": b'{"gates": [{"gate": "a", "kind": "hard", "ok": true, "number": NaN}]}'},
        {"gates.json": gates_json(gate("a"), gate("a", ok=False))},
        {"gates.json": b"[" * 100_000},
        {"model.txt": b"tree\n"},
        {"../../x": b""},
        {"report.html": b"<" * (9 << 20)},
    ],
)
def test_wrong_attachments_are_refused(registry: Registry, attachments: dict[str, bytes]) -> None:
    with pytest.raises(ArtifactRefused):
        publish(registry, attachments=attachments)
    assert (list(registry.digests()), registry.history()) == ([], [])


@pytest.mark.parametrize(
    "said",
    [{"actor": ""}, {"reason": " "}, {"actor": "a" * 129}, {"reason": "r" * 501}, {"override": " "}]
    + [
        {name: f"a{sign}b"} for name in ("actor", "reason", "override", "sign_off") for sign in "\n\x1b\x9b\u202e\u2066"
    ],
)
def test_a_move_without_who_or_why_is_refused(registry: Registry, said: dict[str, str]) -> None:
    digest = publish(registry)
    with pytest.raises(InvalidInput) as caught:
        promote(registry, digest, **said)
    assert [wrong.field for wrong in caught.value.violations] == list(said)
    assert len(registry.history()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"alias": "f1baf4"}, {"alias": ""}, {"figures": {"auc": float("nan")}}, {"figures": {"auc": float("inf")}},
        {"figures": {"auc": True}}, {"figures": {"auc": None}},
    ],
)  # fmt: skip
def test_a_line_of_a_wrong_alias_or_figure_is_no_move(wrong: dict[str, object]) -> None:
    sound = {"alias": CHAMPION, "digest": "a" * 64, "actor": "x", "reason": "y", "time": "", "figures": {"auc": 0.5}}
    assert parse_move(json.dumps(sound).encode()).alias == CHAMPION
    with pytest.raises((ValueError, TypeError)):
        parse_move(json.dumps(sound | wrong).encode())


def test_what_moves_a_cursor_is_spelt_out() -> None:
    move = ModelMove(actor="a\x1b[2J", reason="turned \u202eround", figures={"override": "b\nc"})
    row = _make_model_move_row(move, Format.TABLE)
    assert (row["actor"], row["reason"]) == ("a\\u001b[2J", "turned \\u202eround")
    assert row["figures"] == "override=b\\u000ac"


def test_a_log_of_an_earlier_release_goes_on_as_it_is(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first, second = publish(registry), publish(registry, 1)
    moves = [("champion", first), ("challenger", second), ("champion", second)]
    old = b"".join(
        json.dumps({"alias": a, "digest": d, "actor": "x", "reason": "y", "time": "2026-01-01T00:00:00Z"}).encode()
        + b"\n"
        for a, d in moves
    )
    shutil.rmtree(tmp_path / "moves")
    (tmp_path / "aliases.jsonl").write_bytes(old)
    registry = Registry(tmp_path)
    assert registry.aliases() == {CHAMPION: second, CHALLENGER: second, PREVIOUS: first}
    assert [move.figures for move in registry.history()] == [{}] * 3
    assert registry.rollback(actor="c", reason="r", now=3) == first
    assert (tmp_path / "aliases.jsonl").read_bytes() == old
    assert Registry(tmp_path).champion_digest() == first


def test_a_file_url_is_the_folder(tmp_path: Path) -> None:
    digest = publish(Registry(f"file://{tmp_path}/a%20folder"))
    assert Registry(tmp_path / "a folder").champion_digest() == digest


@pytest.mark.long
def test_readers_beside_writers_never_see_half_a_model(place: Path | str) -> None:
    stop, seen = threading.Event(), set()

    def read() -> None:
        mine = Registry(place)
        while not stop.is_set():
            seen.update(mine.load(digest).digest for digest in mine.digests())

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for number in range(5):
                publish(Registry(place), number)
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert seen
    assert artifact().digest in seen


def test_the_second_writer_of_a_number_looks_again() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    registry = Registry(url)
    _, second, third = (publish(registry, number) for number in range(3))
    store, root = fsspec.core.url_to_fs(url)
    seen: list[int] = []

    class Elsewhere(Registry):
        def content(self, digest: str) -> dict[str, bytes]:
            """Called by a rollback between its read and its write, when the other machine writes."""
            seen.append(len(self.history()))
            if len(seen) == 1:
                other = {"alias": CHAMPION, "digest": third, "actor": "x", "reason": "elsewhere", "time": "t"}
                store.pipe_file(f"{root}/moves/000000005.json", json.dumps(other).encode())
            return super().content(digest)

    promote(registry, second)
    assert Elsewhere(url).rollback(actor="c", reason="r", now=3) == second
    assert seen == [4, 5]
    assert [move.digest for move in registry.history()[3:]] == [second, third, second]
    assert registry.aliases()[PREVIOUS] == third


def test_a_store_that_only_looks_before_it_writes_is_refused() -> None:
    class Plain(MemoryFileSystem):
        protocol = "plain"
        store: dict[str, object] = {}  # noqa: RUF012 (as the class that it varies has it)
        pipe_file = fsspec.AbstractFileSystem.pipe_file

    fsspec.register_implementation("plain", Plain, clobber=True)
    registry = Registry("plain://somewhere")
    with pytest.raises(ConfigurationWrong, match="lets two writers create one object"):
        publish(registry)
    assert registry.history() == []


def test_a_store_that_ignores_exclusive_creation_is_found_out() -> None:
    class Careless(MemoryFileSystem):
        protocol = "careless"
        store: dict[str, object] = {}  # noqa: RUF012

        def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: object) -> None:
            super().pipe_file(path, value)

    fsspec.register_implementation("careless", Careless, clobber=True)
    registry = Registry("careless://somewhere")
    with pytest.raises(ConfigurationWrong, match="lets two writers create one object"):
        publish(registry)
    assert registry.history() == []
    assert not [path for path in Careless().find("") if "moves/" in path]


@pytest.mark.long
def test_a_damaged_move_is_named() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    first, second = publish(Registry(url)), publish(Registry(url), 1)
    store, root = fsspec.core.url_to_fs(url)
    store.pipe_file(f"{root}/moves/000000003.json", b'{"alias": "champ')
    assert Registry(url).aliases() == {CHAMPION: first, CHALLENGER: second}
    with pytest.raises(ConfigurationWrong, match=r"moves/000000003\.json is half written"):
        publish(Registry(url), 2)
    store.rm_file(f"{root}/moves/000000003.json")
    store.pipe_file(f"{root}/moves/000000001.json", b"{}")
    with pytest.raises(ConfigurationWrong, match=r"moves/000000001\.json of the registry is damaged"):
        Registry(url).history()


def test_a_model_without_its_manifest_is_not_there_yet() -> None:
    """A store cannot rename, so the manifest comes last."""
    url = f"memory://{uuid.uuid4().hex}"
    digest = publish(Registry(url))
    store, root = fsspec.core.url_to_fs(url)
    store.rm_file(f"{root}/models/{digest}/{MANIFEST}")
    assert list(Registry(url).digests()) == []


@pytest.mark.parametrize("url", ["nosuch://x", "s3://bucket/registry"])
def test_a_url_that_nothing_here_can_read_says_so(url: str) -> None:
    if url.startswith("s3") and find_spec("s3fs"):
        pytest.skip("s3fs is installed")
    with pytest.raises(ConfigurationWrong, match="cannot be used: ") as caught:
        Registry(url)
    assert ("sellertrust[s3]" in caught.value.message) == url.startswith("s3")
