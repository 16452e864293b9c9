"""The tables of violation types, each in force from a date on: key, category, and severity by harm and source.

The table in force at `occur_time` counts; a later one never changes it.
"""

from types import MappingProxyType

from scoring.base.enums import AUTHORITIES, Category, Harm, Severity, Source
from scoring.base.frozen import frozen


@frozen
class ViolationType:
    key: str
    category: Category
    severities: tuple[Severity, Severity, Severity, Severity]
    """For low, medium, high and extreme harm."""
    floor: Severity
    """The least for an authority's report."""
    description: str


_PLAIN = (Severity.MINOR, Severity.MODERATE, Severity.MAJOR, Severity.CRITICAL)
_RAISED = (Severity.MODERATE, Severity.MAJOR, Severity.MAJOR, Severity.CRITICAL)
_LOWERED = (Severity.MINOR, Severity.MINOR, Severity.MODERATE, Severity.MAJOR)

_ROWS = (
    ViolationType("counterfeit_goods", Category.COUNTERFEIT, _RAISED, Severity.MAJOR, "Fake goods offered or sold"),
    ViolationType(
        "customs_seizure",
        Category.COUNTERFEIT,
        _RAISED,
        Severity.MAJOR,
        "Goods seized by customs as infringing",
    ),
    ViolationType(
        "trademark_infringement",
        Category.IP,
        _PLAIN,
        Severity.MODERATE,
        "A mark used without its owner's consent",
    ),
    ViolationType("patent_infringement", Category.IP, _PLAIN, Severity.MODERATE, "A patent or design infringed"),
    ViolationType("copyright_infringement", Category.IP, _PLAIN, Severity.MODERATE, "Protected content copied"),
    ViolationType("unsafe_product", Category.SAFETY, _RAISED, Severity.MAJOR, "A product dangerous to its users"),
    ViolationType(
        "safety_infraction",
        Category.SAFETY,
        _PLAIN,
        Severity.MINOR,
        "A safety rule broken, found by inspection",
    ),
    ViolationType(
        "failed_inspection",
        Category.QUALITY,
        _PLAIN,
        Severity.MODERATE,
        "Goods that failed a quality inspection",
    ),
    ViolationType(
        "not_as_described", Category.QUALITY, _PLAIN, Severity.MINOR, "Goods materially worse than described"
    ),
    ViolationType("prohibited_item", Category.RESTRICTED, _RAISED, Severity.MAJOR, "Goods that may not be sold"),
    ViolationType(
        "regulatory_enforcement",
        Category.RESTRICTED,
        _PLAIN,
        Severity.MAJOR,
        "A summons, fine or order of a regulator",
    ),
    ViolationType("fake_reviews", Category.INTEGRITY, _PLAIN, Severity.MODERATE, "Reviews or sales made up"),
    ViolationType("order_fraud", Category.INTEGRITY, _RAISED, Severity.MAJOR, "Buyers or the marketplace defrauded"),
    ViolationType("orders_not_kept", Category.SERVICE, _LOWERED, Severity.MINOR, "Orders not sent, as a pattern"),
    ViolationType("misleading_listing", Category.DISCLOSURE, _LOWERED, Severity.MODERATE, "A listing that misleads"),
    ViolationType(
        "missing_trader_information",
        Category.DISCLOSURE,
        _LOWERED,
        Severity.MINOR,
        "Trader information withheld or wrong",
    ),
)

TABLES: tuple[tuple[int, MappingProxyType[str, ViolationType]], ...] = (
    (0, MappingProxyType({row.key: row for row in _ROWS})),
)
"""(first microsecond in force, table by key), in order. Never change one."""


TYPE_NUMBERS = MappingProxyType(
    {key: number for number, key in enumerate(dict.fromkeys(key for _, table in TABLES for key in table), 1)}
)
"""Numbers from 1 by key, of all tables; 0: none."""


def category_of_type(number: int) -> Category:
    key = next(key for key, one in TYPE_NUMBERS.items() if one == number)
    return next(table[key].category for _, table in TABLES if key in table)


def violation_types(occur_time: int) -> MappingProxyType[str, ViolationType]:
    """Return the types by name that are in force at a time in microseconds."""
    for since, table in reversed(TABLES):
        if since <= occur_time:
            return table
    return TABLES[0][1]


def severity_of(violation_type: ViolationType, source: Source, harm: Harm) -> Severity:
    """Return the severity of a violation by its type, source and harm.

    For an authority at least the type's floor: a misleading listing of low harm is minor from a buyer, moderate from a
    market regulator.
    """
    severity = violation_type.severities[harm - 1]
    return max(severity, violation_type.floor) if source in AUTHORITIES else severity


UNIT_STEPS: tuple[tuple[int, int], ...] = ((10, 1), (1_000, 2))
"""(distinct units of an incident, steps that they raise its severity), rising."""
