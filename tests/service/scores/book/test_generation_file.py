import random
from pathlib import Path

import pytest

from service.scores.book import generation_file
from service.scores.book.generation_file import (
    GenerationDamaged,
    GenerationFile,
    GenerationHead,
    GenerationWriter,
    day_of,
)
from tests.helpers.generations import opened_file, records

HEAD = GenerationHead(20_500, 5, 4, 3, "c0ffee", 2, "m" * 64, "p" * 64, "core", "contract")
ANSWERS = [(f"marketplaces/acme/sellers/s{n}", 1_000 + n, b"answer %d" % n * (n % 7)) for n in range(200)]


def written(folder: Path) -> Path:
    with GenerationWriter(folder, HEAD) as writer:
        for part in (ANSWERS[:40], ANSWERS[40:]):
            writer.add(part)
        return writer.finish()


def test_each_answer_is_found_by_its_seller_and_nobody_else_is(tmp_path: Path) -> None:
    file = opened_file(written(tmp_path))
    assert (file.head, file.sellers) == (HEAD, len(ANSWERS))
    for name, until, body in ANSWERS:
        found = file.find(name)
        assert found is not None
        assert (found.until, found.body) == (until, body)
        assert [*file.find_places(name)] == [found.place]
    assert file.find("marketplaces/acme/sellers/s") is None
    assert sorted((name, found.until, found.body) for name, found in records(file)) == sorted(ANSWERS)


def test_sellers_of_one_key_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation_file, "_hash_name", lambda label: label[-1:] * 8)
    with GenerationWriter(tmp_path, HEAD) as writer:
        writer.add(ANSWERS[:40])
        file = opened_file(writer.finish())
    for name, _, body in ANSWERS[:40]:
        found = file.find(name)
        assert found is not None
        assert found.body == body
        assert found.place in file.find_places(name)


def test_a_file_without_sellers_is_whole(tmp_path: Path) -> None:
    with GenerationWriter(tmp_path, HEAD) as writer:
        file = opened_file(writer.finish())
    assert file.find(ANSWERS[0][0]) is None


def test_the_same_answers_give_the_same_bytes(tmp_path: Path) -> None:
    first = written(tmp_path).read_bytes()
    assert written(tmp_path).read_bytes() == first


def test_a_generation_has_no_name_until_it_is_whole(tmp_path: Path) -> None:
    with GenerationWriter(tmp_path, HEAD) as writer:
        writer.add(ANSWERS)
        assert [day_of(path.name) for path in tmp_path.iterdir()] == [None]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", range(40))
def test_a_byte_that_was_changed_is_noticed_wherever_it_is(tmp_path: Path, seed: int) -> None:
    path = written(tmp_path)
    data = bytearray(path.read_bytes())
    data[random.Random(seed).randrange(len(data))] ^= 1 << seed % 8
    path.write_bytes(data)
    with pytest.raises(GenerationDamaged):
        opened_file(path)


@pytest.mark.parametrize("seed", range(40))
def test_damage_to_an_open_file_gives_no_answer(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = written(tmp_path)
    file = opened_file(path)
    place = chance.randrange(path.stat().st_size)
    with path.open("r+b") as other:
        if seed % 4 == 0:
            other.truncate(place)
        else:
            other.seek(place)
            changed = other.read(1)[0] ^ 1 << seed % 8
            other.seek(place)
            other.write(bytes([changed]))
    noticed = 0
    for name, until, body in ANSWERS:
        try:
            found = file.find(name)
        except GenerationDamaged:
            noticed += 1
            continue
        noticed += found is None
        assert found is None or (found.until, found.body) == (until, body)
    assert noticed <= (len(ANSWERS) if seed % 4 == 0 else 1)


def test_what_is_no_generation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / HEAD.name
    for data in (
        b"",
        b"x" * 500,
        b"sellertrust-generation-1\n" + b"\0" * 60,
        b"sellertrust-generation-1\n" + b"\xff" * 60,
    ):
        path.write_bytes(data)
        with pytest.raises(GenerationDamaged):
            GenerationFile(path)
