"""The grants file: issuers of tokens, and grants of rights to principals, in TOML.

docs/how-to/access.md shows one.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scoring.base.enums import Source
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.base.parts import Part, parse_toml
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.table import BY_COMMAND, KINDS
from service.access.decision import EVERY, OWN, Grant, GrantList
from service.access.four_eyes import DEFAULT_HOURS, MAX_HOURS, PERSONS, Agreement, FourEyes, Person
from service.access.key_sets import ALGORITHMS
from service.access.limits import CLASSES, Limit
from service.access.principals import Pattern, is_issuer
from service.access.rights import ACTIONS, NEEDING_TWO, OF_SERVER, RIGHT_OF_KIND, WRITING, Right

MAX_FILE_BYTES = 1 << 20
MAX_TABLES = MAX_FILE_BYTES  # as many as the file holds

LEAST_RATE, MOST_RATE = 1e-6, 1e9

T = TypeVar("T")

END = "[end]"
"""A partly written file lacks this last line."""

SOURCES = frozenset(source.word for source in Source)
APPENDABLE = frozenset(
    kind.word for kind in KINDS if RIGHT_OF_KIND.get(kind) is Right.APPEND and kind not in BY_COMMAND
)

_KINDS_WITH_FIELD = {
    name: frozenset(kind.word for kind, row in KINDS.items() if any(field.name == name for field in row.fields))
    for name in ("source", "notifier")
}


@frozen
class Issuer:
    issuer: str
    audience: str
    keys: str
    """An absolute path or an https URL."""
    algorithms: frozenset[str]
    marketplaces: frozenset[str]
    authorities: Path | None = None
    """Trusted CAs; None: the system's."""


@frozen
class Grants:
    issuers: tuple[Issuer, ...] = ()
    grants: tuple[Grant, ...] = ()
    limits: tuple[Limit, ...] = ()
    readers_kept: tuple[Pattern, ...] = ()
    persons: tuple[Person, ...] = ()
    four_eyes: tuple[FourEyes, ...] = ()

    def agreement(self, grants: GrantList) -> Agreement:
        """Return the four-eyes rules, with the file's persons and issuers."""
        person_of = {name: person.person for person in self.persons for name in person.principals}
        spoken_for = {issuer.issuer: issuer.marketplaces for issuer in self.issuers}
        return Agreement(self.four_eyes, person_of, grants, spoken_for)


def load_grants(path: Path) -> Grants:
    """Read and check a grants file. Raises ConfigurationWrong, with every error."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigurationWrong(f"{path}: is larger than {MAX_FILE_BYTES:,} bytes")
        text = data.decode()
        content = parse_toml(text)
    except OSError as error:
        raise ConfigurationWrong(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise ConfigurationWrong(f"{path}: is no TOML file: {error}") from None
    last = text.rstrip().rpartition("\n")[2].partition("#")[0].rstrip()
    if last != END or content.pop("end", None) != {}:  # or it is within a multi-line text
        raise ConfigurationWrong(
            f"{path}: its last line must be {END}, at most with a comment after it. A file that is cut short could leave out"
            " a limit, and so give more than it is to give"
        )
    return grants_of(content, path)


def grants_of(content: Mapping[str, Any], path: Path) -> Grants:
    """Check the content of a grants file, named `path`; relative files are beside it. Raises ConfigurationWrong."""
    root = Part(content, whole="a grants file")
    issuers = [(part, _read_issuer(part, path.parent)) for part in root.list_of_parts("issuers", MAX_TABLES)]
    grants = [(part, _read_grant(part)) for part in root.list_of_parts("grants", MAX_TABLES)]
    limits = [(part, _read_limit(part)) for part in root.list_of_parts("limits", MAX_TABLES)]
    persons = [(part, _read_person(part)) for part in root.list_of_parts("persons", MAX_TABLES)]
    four_eyes = [_read_four_eyes(part, len(persons)) for part in root.list_of_parts("four_eyes", MAX_TABLES)]
    audit = root.part("audit") if "audit" in root else None
    readers = () if audit is None else _read_patterns(audit, "readers")
    _refuse_doubles(issuers, "issuer", lambda issuer: issuer.issuer, "is that of an issuer above")
    _refuse_doubles(
        limits,
        "principals",
        lambda limit: limit.key,
        "and classes are those of a limit above; state all of them in one",
    )
    _refuse_double_persons(persons)
    lists = [(part, "principals", [pattern.text for pattern in grant.principals]) for part, grant in grants]
    lists += [(part, "principals", [pattern.text for pattern in limit.principals]) for part, limit in limits]
    lists += [(part, "principals", [*person.principals]) for part, person in persons]
    lists += [(audit, "readers", [pattern.text for pattern in readers])] if audit is not None else []
    issuer_names = {issuer.issuer for _, issuer in issuers}
    for part, key, names in lists:
        for name in names:
            if name.startswith("jwt:") and name[4:].partition("#")[0] not in issuer_names:
                part.refuse(key, f"names {name!r}, which is of an issuer that no [[issuers]] names")
    root.refuse_what_is_left()
    if root.errors:
        raise ConfigurationWrong("\n".join(f"{path}: {problem}" for problem in root.errors))
    return Grants(
        tuple(issuer for _, issuer in issuers),
        tuple(grant for _, grant in grants),
        tuple(limit for _, limit in limits),
        readers,
        tuple(person for _, person in persons),
        tuple(four_eyes),
    )


def _read_issuer(part: Part, folder: Path) -> Issuer:
    issuer = part.text("issuer", 1)
    if issuer and not is_issuer(issuer):
        part.refuse("issuer", "must be printable ASCII without blanks, # and *")
    keys = part.text("keys", 1)
    if keys.startswith("http:"):
        part.refuse("keys", "must be fetched by https")
    elif keys and not keys.startswith("https://"):
        try:
            keys = str(folder / Path(keys).expanduser())
        except RuntimeError:
            part.refuse("keys", "names a home directory that there is not")
    authorities = part.text("authorities", 1) if "authorities" in part else ""
    if authorities and not (folder / authorities).is_file():
        part.refuse("authorities", "must be a file of certificates in PEM")
    return Issuer(
        issuer=issuer,
        audience=part.text("audience", 1),
        keys=keys,
        algorithms=_read_words(part, "algorithms", ALGORITHMS),
        marketplaces=_read_ids(part, "marketplaces"),
        authorities=folder / authorities if authorities else None,
    )


def _read_limit(part: Part) -> Limit:
    limit = Limit(
        principals=_read_patterns(part),
        classes=_read_words(part, "classes", CLASSES) if "classes" in part else frozenset(CLASSES),
        calls_per_second=part.decimal("calls_per_second", LEAST_RATE, MOST_RATE, 0),
        entries_per_second=part.decimal("entries_per_second", LEAST_RATE, MOST_RATE, 0),
        streams=part.number("streams", 1, 1_000_000, 0),
    )
    if not (limit.calls_per_second or limit.entries_per_second or limit.streams):
        part.refuse("calls_per_second", "or entries_per_second or streams is required")
    if limit.streams and "stream" not in limit.classes:
        part.refuse("streams", "needs the class stream among classes")
    if limit.entries_per_second and not limit.classes & {"write", "stream"}:
        part.refuse("entries_per_second", "needs the class write or stream among classes")
    return limit


def _read_words(part: Part, key: str, allowed: Iterable[str]) -> frozenset[str]:
    words = sorted(allowed)
    return frozenset(part.names(key, words.__contains__, ", ".join(words)))


def _read_ids(part: Part, key: str) -> frozenset[str]:
    return frozenset(part.names(key, _is_id_or_every, f"* or ids, {ID_FORM}"))


def _read_rights(part: Part, allowed: Iterable[Right]) -> frozenset[Right]:
    by_word = {right.value: right for right in allowed}
    return frozenset(by_word[word] for word in part.names("rights", by_word.__contains__, ", ".join(by_word)))


def _read_patterns(part: Part, key: str = "principals") -> tuple[Pattern, ...]:
    patterns = []
    for text in part.names(key, lambda _: True, "patterns of principals"):
        try:
            patterns.append(Pattern(text))
        except ValueError as error:
            part.refuse(key, f"is wrong: {error}")
    return tuple(patterns)


def _read_person(part: Part) -> Person:
    person = part.text("person", 1)
    if person and not is_id(person):
        part.refuse("person", f"must be {ID_FORM}")
    patterns = _read_patterns(part)
    for pattern in patterns:
        if "*" in pattern.text:
            part.refuse("principals", f"must be whole names of a person, without *, not {pattern.text!r}")
    return Person(person, tuple(pattern.text for pattern in patterns))


def _refuse_doubles(tables: Iterable[tuple[Part, T]], key: str, find_name: Callable[[T], str], problem: str) -> None:
    """Report each table whose name a table above has."""
    names: set[str] = set()
    for part, content in tables:
        if find_name(content) in names:
            part.refuse(key, problem)
        names.add(find_name(content))


def _refuse_double_persons(persons: Sequence[tuple[Part, Person]]) -> None:
    """Report repeated persons and names of two persons: one human could count twice."""
    problem = "is that of a person above; list all names of one person in one table"
    _refuse_doubles(persons, "person", lambda person: person.person, problem)
    names: set[str] = set()
    for part, person in persons:
        for name in sorted(names.intersection(person.principals)):
            part.refuse("principals", f"names {name!r}, which shows a person above already")
        names.update(person.principals)


def _read_four_eyes(part: Part, persons: int) -> FourEyes:
    rule = FourEyes(
        rights=_read_rights(part, [right for right in Right if right in NEEDING_TWO]),
        marketplaces=_read_ids(part, "marketplaces"),
        hours=part.decimal("hours", LEAST_RATE, MAX_HOURS, DEFAULT_HOURS),
    )
    if persons < PERSONS:
        part.refuse(
            "rights", f"need {PERSONS} persons to agree, and the file has {persons}; list them under [[persons]]"
        )
    _require_every_marketplace(part, rule.rights, rule.marketplaces)
    return rule


def _require_every_marketplace(part: Part, rights: frozenset[Right], marketplaces: frozenset[str]) -> None:
    if rights & OF_SERVER and "*" not in marketplaces:
        names = ", ".join(sorted(right.value for right in rights & OF_SERVER))
        part.refuse("marketplaces", f'must be ["*"] with {names}, which concern every marketplace')


def _read_grant(part: Part) -> Grant:
    rights = _read_rights(part, Right)
    appends = Right.APPEND in rights

    def read_names(key: str, is_required: bool, allowed: Iterable[str] = ()) -> frozenset[str]:
        if not is_required and key not in part:
            return frozenset()
        return _read_words(part, key, ["*", *allowed]) if allowed else _read_ids(part, key)

    is_own = "sellers" in part and part.value("sellers") == [*OWN]
    kinds = read_names("kinds", appends, APPENDABLE)
    granted_kinds = APPENDABLE if "*" in kinds else kinds
    grant = Grant(
        principals=_read_patterns(part),
        rights=rights,
        marketplaces=_read_ids(part, "marketplaces"),
        sellers=OWN if is_own else read_names("sellers", False) or EVERY,
        kinds=granted_kinds | _list_kinds_without_append(rights),
        sources=read_names("sources", appends and bool(granted_kinds & _KINDS_WITH_FIELD["source"]), SOURCES),
        notifiers=read_names("notifiers", appends and bool(granted_kinds & _KINDS_WITH_FIELD["notifier"])),
        entry_ids=tuple(sorted(read_names("entry_ids", bool(rights & WRITING)))),
        actions=read_names("actions", bool(rights & {Right.DECIDE, Right.BULK_DECIDE}), ACTIONS),
    )
    if is_own and not all(re.search(r"^jwt:.*[#/:]\*$", pattern.text) for pattern in grant.principals):
        part.refuse(
            "sellers", f"may be {[*OWN]} only with tokens whose subject ends with the seller, such as jwt:URL#seller/*"
        )
    if rights & WRITING and "*" not in grant.sellers and "*" in grant.entry_ids:
        part.refuse(
            "entry_ids", "must name how ids begin beside sellers: a refused id tells that another seller's entry has it"
        )
    _require_every_marketplace(part, rights, grant.marketplaces)
    return grant


def _list_kinds_without_append(rights: frozenset[Right]) -> frozenset[str]:
    """Return the kinds of entries that other rights than `append` let a caller append."""
    others = rights - {Right.APPEND}
    return frozenset(kind.word for kind, right in RIGHT_OF_KIND.items() if right in others and kind not in BY_COMMAND)


def _is_id_or_every(text: str) -> bool:
    return text == "*" or is_id(text)
