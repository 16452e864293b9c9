from pathlib import Path
from xml.etree import ElementTree

import pytest

from scoring.base.errors import ConfigurationWrong
from service.policy.policy_file import SHIPPED_POLICY, read_policy
from service.web.answers import Age, Pictures
from service.web.drawing import BadgeLook, draw_badge
from service.web.words import NEVER_SHOWN, read_words

GOOD = """
[gold]
mark = "star"
en = "Gold seller"
zh = "金牌卖家"
"""


def words_of(folder: Path, text: str) -> Path:
    path = folder / "words.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_words_are_those_of_the_shipped_policies() -> None:
    shown = set(read_words())
    for name in ("tiers", "general", "health", "ladder"):
        badges = set(read_policy(SHIPPED_POLICY.with_name(f"{name}.toml")).badges.values())
        assert shown < badges
        assert badges - shown <= set(NEVER_SHOWN)


def test_a_policy_with_badges_of_its_own_takes_words_of_its_own(tmp_path: Path) -> None:
    pictures, look = Pictures(read_words(words_of(tmp_path, GOOD))), BadgeLook("zh")
    assert "金牌卖家" in pictures.get(look, False, "gold", Age.CURRENT).whole.body.decode()
    assert pictures.get(look, False, "trusted", Age.CURRENT) is pictures.get(look, False, "none", Age.CURRENT)


def test_a_label_is_text_and_never_markup(tmp_path: Path) -> None:
    label = "<b>&\\\"'</b>"
    wording = read_words(words_of(tmp_path, GOOD.replace("Gold seller", label)))["gold"]
    root = ElementTree.fromstring(draw_badge(wording.mark, wording.labels["en"], BadgeLook()))
    assert root.get("aria-label") == wording.labels["en"] == "<b>&\"'</b>"
    assert [child.tag.rpartition("}")[2] for child in root] == ["title", "g", "text"]


def test_every_fault_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    faults = """
        best = 2
        [none]
        [gold]
        mark = "heart"
        en = "a\\nb"
        zh = ""
        fr = "or"
        [wide]
        mark = "tick"
        en = "A most excellent selling record"
        zh = "很好"
    """
    path = words_of(tmp_path, faults)
    with pytest.raises(ConfigurationWrong) as refusal:
        read_words(path)
    named = [line.removeprefix(f"{path}: ").partition(" ")[0] for line in str(refusal.value).splitlines()]
    assert named == ["best", "none", "gold.en", "gold.zh", "gold.mark", "wide.en", "gold.fr"]
    for garbage in ("[", "en = \xff"):
        with pytest.raises(ConfigurationWrong, match="cannot be read"):
            read_words(words_of(tmp_path, garbage))
    with pytest.raises(ConfigurationWrong, match="cannot be read"):
        read_words(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigurationWrong) as refusal:
        read_words(tmp_path)
    assert str(refusal.value) == f"{tmp_path} cannot be read: is a directory"
