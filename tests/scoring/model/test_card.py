import re

import numpy as np

from scoring.model.card import describe_page, write_card
from scoring.model.page import Page, PointsTable
from tests.helpers.random_pages import PAGE_FEATURES, page_artifact
from tests.helpers.worlds import ALL_FEATURES, population


def by_hand(card: str, values: dict[str, float]) -> int:
    """Return a seller's points from a card's text alone: the base, and one row of each table."""
    found = re.search(r"^A seller has (-?\d+) points, plus", card, re.MULTILINE)
    total = int(found[1])
    for block in re.split(r"\n(?=\d+\. )", card)[1:]:
        names = re.findall(r"^(?:\d+\.|   and) (\S+)", block, re.MULTILINE)
        for line in block.split("\n"):
            row = re.fullmatch(r" {3}((?:up to|over) .*?) +(0|-\d+)(?: +#*)?", line)
            if row and all(fits(text, values[name]) for text, name in zip(row[1].split(", "), names, strict=True)):
                total += int(row[2])
                break
        else:
            raise AssertionError(f"no row of {names} for {values}")
    return min(max(total, 0), 1000)


def fits(text: str, value: float) -> bool:
    ends = re.fullmatch(r"(?:over (\S+))?(?: to | ?up to )?(\S+)?", text)
    return (ends[1] is None or value > float(ends[1])) and (ends[2] is None or value <= float(ends[2]))


def test_the_points_of_1000_sellers_add_up_by_hand() -> None:
    artifact = page_artifact()
    card = write_card(describe_page(artifact.page, artifact.features), artifact.manifest, artifact.digest)
    everything, _ = population()
    x = everything[:1000, [ALL_FEATURES.index(feature) for feature in PAGE_FEATURES]]
    keys = [feature.key for feature in artifact.features]
    mine = [by_hand(card, dict(zip(keys, row, strict=True))) for row in x.tolist()]
    assert mine == artifact.points(x).tolist()
    assert len(set(mine)) > 20
    assert card.startswith(f"Model {artifact.digest}\nStudy tests, release {artifact.manifest['core_version']}\n")


def test_a_pair_has_a_row_for_each_combination() -> None:
    artifact = page_artifact()
    pair = PointsTable((8, 14), (np.array([0.5]), np.array([0.25])), np.array([[-2, 0], [-90, -700]]))
    card = write_card(describe_page(Page(600, (pair,)), PAGE_FEATURES), artifact.manifest, artifact.digest)
    keys = [PAGE_FEATURES[place].key for place in pair.features]
    for values, points in (((0.5, 0.25), 598), ((0.5, 0.3), 600), ((0.6, 0.2), 510), ((0.6, 0.3), 0)):
        assert by_hand(card, dict(zip(keys, values, strict=True))) == points
