import json
import uuid
from importlib.util import find_spec

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from scoring.base.errors import ConfigurationWrong
from scoring.model.artifact import MANIFEST
from service.registry.moves import CHALLENGER, CHAMPION, PREVIOUS
from service.registry.registry import Registry
from tests.helpers.models import promote, publish


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
