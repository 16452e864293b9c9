"""A model's page in words, to repeat a sum of points by hand."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, product

from scoring.base.canonical import JsonObject
from scoring.features.table import AnyFeature, AttributeFeature, Feature
from scoring.model.page import Page
from scoring.model.scale import BASE_ODDS, BASE_POINTS, MAX_POINTS, PDO

BAR = 24


def describe_page(page: Page, features: Sequence[AnyFeature]) -> JsonObject:
    """Return a model's page as JSON values: its `base`, and its `tables` with each row also in words."""
    tables = []
    for table in page.tables:
        table_features = [features[place] for place in table.features]
        rows = [_describe_rows(edges.tolist()) for edges in table.edges]
        tables.append(
            {
                "features": [feature.key for feature in table_features],
                "units": [feature.unit if isinstance(feature, Feature) else "" for feature in table_features],
                "definitions": [_describe_definition(feature) for feature in table_features],
                "edges": [edges.tolist() for edges in table.edges],
                "rows": [", ".join(parts) for parts in product(*rows)],
                "points": table.points.ravel().tolist(),
            }
        )
    return {"base": page.base, "tables": tables}


def _describe_rows(edges: Sequence[float]) -> list[str]:
    texts = [repr(edge).removesuffix(".0") for edge in edges]
    between = [f"over {low} to {high}" for low, high in pairwise(texts)]
    return [f"up to {texts[0]}", *between, f"over {texts[-1]}"]


def _describe_definition(feature: AnyFeature) -> str:
    if isinstance(feature, Feature):
        return feature.definition
    source = "attribute of the identity" if isinstance(feature, AttributeFeature) else "context"
    return f"The {source}, as a number" if feature.equals is None else f"1 if the {source} is this text, else 0"


def write_card(page: JsonObject, manifest: JsonObject, digest: str) -> str:
    """Return the card as plain text. `page`: from `describe_page`."""
    return "\n".join(_list_card_lines(page, manifest, digest)) + "\n"


def _list_card_lines(page: JsonObject, manifest: JsonObject, digest: str) -> Iterator[str]:
    tables, constants = page["tables"], manifest["constants"]
    yield f"Model {digest}"
    yield f"Study {manifest['study']}, release {manifest['core_version']}"
    yield ""
    yield f"A seller has {page['base']} points, plus the points of one row of each of the {len(tables)} tables below."
    yield f"A sum under 0 counts as 0, one over {MAX_POINTS} as {MAX_POINTS}: an explanation's item LIMIT is the difference."
    yield (
        f"{BASE_POINTS:g} points stand for odds of {BASE_ODDS:g} good to 1 bad; {PDO:g} points more double the odds."
        + (f" Bad is over {orders:g} settled orders." if (orders := manifest["reference_exposure"]) else "")
    )
    yield ""
    yield "How facts become features"
    weights = ", ".join(f"{name} {weight}" for name, weight in constants["severity_weights"].items())
    yield f"  Severity weight: {weights}. An incident counts once in a feature, by its largest weight x decay."
    yield "  Decay: what is one half-life old, in whole UTC days, counts half; two half-lives, a quarter. Orders decay alike."
    yield f"  rate_damping is {constants['rate_damping']:g} orders, exposure_scale {constants['exposure_scale']:g} orders."
    yield "  A feature without a table here moves no points."
    for number, table in enumerate(tables, 1):
        yield ""
        named = zip(table["features"], table["units"], table["definitions"], strict=True)
        for number_in_table, (key, unit, definition) in enumerate(named):
            yield f"{'   and' if number_in_table else f'{number}.'} {key}{f' ({unit})' if unit else ''}"
            yield f"   {definition}"
        width, most = max(map(len, table["rows"])), -min(table["points"])
        for row, points in zip(table["rows"], table["points"], strict=True):
            yield f"   {row:{width}}  {points:5}  {'#' * round(BAR * -points / most)}".rstrip()
