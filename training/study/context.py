from scoring.base.enums import Kind, MeasureKind
from scoring.base.frozen import frozen
from scoring.base.parts import Part
from scoring.features.table import ContextFeature

DETECTIONS, MEASURES = "detections_per_month", "measures_in_force"

LOOK_BACK = (DETECTIONS, MEASURES)

OF_INSPECTION = ("inspector", "method", "source", "product_category")
"""Fields of an inspection that may be context, as `inspection.FIELD`; the result would be the outcome itself."""

ATTRIBUTE = "inspection.attributes."
MAX_DECLARED = 100
MAX_DETECTION_DAYS = 3_660
MAX_REFERENCE = 1e12
DAYS = ("train_from", "train_to", "test_from", "test_to")


@frozen
class ContextSource:
    """A circumstance of an observation, fixed to a reference when serving."""

    name: str
    source: str
    """Origin of its value: one of LOOK_BACK, `inspection.FIELD` or `inspection.attributes.NAME`."""
    reference: str | float
    one_of: tuple[str, ...] | None = None
    """Texts that training distinguishes; None: a number."""
    days: int = 365
    """Days before the point in which detections count."""
    measure_kind: MeasureKind | None = None

    @property
    def looks_back(self) -> bool:
        """Return whether it is known at the observation point already, not only from the window."""
        return self.source in LOOK_BACK

    @property
    def features(self) -> tuple[ContextFeature, ...]:
        """Return one feature for a number, and one of 0 or 1 for each text of `one_of`."""
        if self.one_of is None:
            return (ContextFeature(self.name, reference=float(self.reference)),)
        return tuple(
            ContextFeature(self.name, equals=text, reference=float(text == self.reference)) for text in self.one_of
        )


@frozen
class EventPoints:
    """Observation at events: each entry of `kind` is an observation point.

    Days since 1970-01-01, last days included.
    """

    kind: Kind
    train_from: int
    train_to: int
    test_from: int
    test_to: int


def read_context(root: Part) -> tuple[ContextSource, ...]:
    return tuple(map(_read_source, root.list_of_parts("context", MAX_DECLARED, "name")))


def _read_source(part: Part) -> ContextSource:
    name, source = part.text("name", 1), part.text("source", 1)
    if not _is_source(source):
        sources = ", ".join((*LOOK_BACK, *(f"inspection.{field}" for field in OF_INSPECTION), f"{ATTRIBUTE}NAME"))
        part.refuse("source", f"must be one of {sources}")
    if "one_of" not in part:
        if "reference" not in part:
            part.refuse("reference", "must be given: the number for every seller when serving")
        return ContextSource(
            name,
            source,
            part.decimal("reference", -MAX_REFERENCE, MAX_REFERENCE, 0.0),
            days=part.number("days", 1, MAX_DETECTION_DAYS, 365) if source == DETECTIONS else 365,
            measure_kind=part.member("measure_kind", MeasureKind)
            if source == MEASURES and "measure_kind" in part
            else None,
        )
    one_of = tuple(part.names("one_of", bool, "texts of an inspection's field"))
    if source in LOOK_BACK:
        part.refuse("one_of", "is for a field of an inspection")
    return ContextSource(name, source, part.word("reference", one_of or ("",)), one_of)


def _is_source(source: str) -> bool:
    if source.startswith(ATTRIBUTE):
        return source != ATTRIBUTE
    return source in LOOK_BACK or source in {f"inspection.{field}" for field in OF_INSPECTION}


def read_events(part: Part) -> EventPoints | None:
    """Read `observation.at` with its four days; None for a study that observes at given days."""
    if "at" not in part:
        return None
    part.word("at", ("inspection",))
    days = [part.day(name) for name in DAYS]
    points = EventPoints(Kind.INSPECTION, *days)
    if not points.train_from <= points.train_to < points.test_from <= points.test_to:
        part.refuse("", f"must have {', '.join(DAYS)} in order of time")
    return points
