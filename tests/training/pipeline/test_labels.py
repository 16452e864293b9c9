import pytest

from tests.helpers.training_ledgers import POLICY, restated
from training.observation.export import LedgerTable
from training.pipeline.job import Job
from training.pipeline.run import plan
from training.study.definition import Study


@pytest.mark.parametrize(
    ("parts", "labels"),
    [
        ({}, ["a rate", "freed directions", "as the study says"]),
        ({"exposure": {"reference_orders": None}}, ["a rate", "over orders", "freed directions", "as the study says"]),
        ({"exposure": {"reference_orders": None}, "bad": {"share": 0.01}}, ["freed directions", "as the study says"]),
    ],
    ids=["exposure", "count", "rate"],
)
def test_a_dry_run_compares_labels_a_rate_first(
    table: LedgerTable, study: Study, parts: dict[str, object], labels: list[str]
) -> None:
    found = plan(Job(table, restated(study, **parts), POLICY))
    rows = found.evaluation["suggested"]
    assert [row["label"] for row in rows] == labels
    assert "take a rate where you can" in found.lines["labels"]
    for row in rows:
        assert row["auc"] is None or row["auc"]["low"] <= row["auc"]["value"] <= row["auc"]["high"]
    if rows[0]["label"] == "a rate":
        assert rows[0]["state"].startswith("[bad] share = 0.")
        assert 0.5 * rows[-1]["bad"] < rows[0]["bad"] < 2 * rows[-1]["bad"]
        assert rows[0]["auc"]["value"] > 0.6
