from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import exc, text

from scoring.base.enums import Action, Harm, Source
from scoring.base.errors import InvalidInput
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductViolationReported
from service.ledger.database.database import Database
from service.ledger.queries.violations import Selection
from service.ledger.store import Ledger
from service.review.bulk_decisions import BulkDecisionCall, dry_run
from service.review.review_queue import review_queue
from tests.helpers.builders import MARKET, ago, identity, status, violation
from tests.helpers.databases import BACKENDS, database

CONTROLS = ["\x00", "\x07", "\n", "\t", "\x1f", "\x7f"]


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(str(request.param), tmp_path) as url:
        yield url


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_character_in_any_text_is_refused_by_its_field(url: str, control: str) -> None:
    bad = f"a{control}b"
    report = violation()
    of_product = ProductViolationReported(bad, Harm.HIGH, Source.CUSTOMS, "gtin-1")
    entries = {
        "violation.ground": replace(report, fact=replace(report.fact, ground=bad)),
        "violation.evidence_uri": replace(report, fact=replace(report.fact, evidence_uri=bad)),
        "violation.violation_type": violation(violation_type=bad),
        "product_violation.violation_type": Entry("p", "", of_product, ago(2)),
        "status.reason": status(reason=bad),
        "status.ground": status(ground=bad),
        "identity.attributes": identity(attributes={"licence": bad}),
    }
    with Ledger.open(url) as ledger:
        for field, entry in entries.items():
            with pytest.raises(InvalidInput) as caught:
                ledger.append(MARKET, [entry])
            [wrong] = [one.field for one in caught.value.violations if "no control characters" in one.description]
            assert wrong.endswith(field)
        with pytest.raises(InvalidInput, match="control characters"):
            dry_run(ledger, MARKET, BulkDecisionCall("d", Action.DISMISS, "a", bad, "", Selection(notifier="n")))
        assert ledger.last()[0] == 0


@pytest.mark.parametrize("ground", ["a\\u0000b", "a\\\\u0000b"])
def test_a_recorded_text_with_nul_fails_no_query(url: str, ground: str) -> None:
    """As JSON writes U+0000, and as it writes a backslash before `u0000`."""
    with Ledger.open(url) as ledger:
        report = violation("v1", notifier="n", listing="l1")
        ledger.append(MARKET, [replace(report, fact=replace(report.fact, ground="GROUND")), violation("v2")])
        _rewrite(url, ground)
        cut = ledger.cut()
        items, _ = review_queue(ledger, MARKET, cut)
        assert {item.violation for item in items} == {"v1", "v2"}
        assert [*ledger.notifiers.records(MARKET, cut, ["n"])["n"]] == [Source.BRAND]
        selection = Selection(violation_types=("counterfeit_goods",), listing="l1")
        assert [name for _, name, *_ in ledger.violations.select(MARKET, cut, selection, 0, 9)] == ["v1"]


def _rewrite(url: str, ground: str) -> None:
    """Replace GROUND by `ground` as JSON writes it, as an older version would have stored it."""
    opened = Database(url)
    try:
        with opened.write() as connection:
            if opened.is_sqlite:
                connection.exec_driver_sql("DROP TRIGGER entry_no_update")
            else:
                connection.exec_driver_sql("ALTER TABLE entry DISABLE TRIGGER USER")
            changed = connection.execute(
                text("UPDATE entry SET content = replace(content, 'GROUND', :ground)"), {"ground": ground}
            )
            assert changed.rowcount == 2
    finally:
        opened.close()


def test_what_postgresql_says_of_a_row_is_in_no_error(tmp_path: Path) -> None:
    """Its detail and context quote content, and tracebacks are logged."""
    with database("postgresql", tmp_path) as url:
        opened = Database(url)
        try:
            with pytest.raises(exc.DBAPIError) as caught, opened.read() as connection:
                connection.execute(text("SELECT CAST(:content AS json) ->> 'a'"), {"content": '{"a":"SECRET\\u0000"}'})
        finally:
            opened.close()
        assert "SECRET" not in f"{caught.value} {caught.value.__cause__}"
        assert "22P05" in str(caught.value)
