"""The grants file: issuers of tokens, and grants of rights to principals, in TOML. Every error in it is reported at once.

[[issuers]]
issuer = "https://login.acme.example"
audience = "sellertrust"
keys = "https://login.acme.example/jwks.json"        # or a file, from the folder of this one
algorithms = ["RS256", "ES256"]
marketplaces = ["acme"]

[[grants]]
principals = ["spiffe://acme.example/ns/*/sa/checkout"]
rights = ["read_scores"]
marketplaces = ["acme"]

[end]
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring.base.enums import Source
from scoring.base.errors import ConfigurationWrong
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.table import BY_COMMAND, KINDS
from service.access.decision import EVERY, Grant, GrantList
from service.access.four_eyes import DEFAULT_HOURS, MAX_HOURS, PERSONS, Agreement, FourEyes, Person
from service.access.key_sets import ALGORITHMS
from service.access.limits import CLASSES, Limit
from service.access.principals import Pattern, is_issuer
from service.access.rights import ACTIONS, NEEDING_TWO, OF_SERVER, RIGHT_OF_KIND, WRITING, Right

MAX_FILE_BYTES = 1 << 20

END = "[end]"
"""A partly written file lacks this last line."""

SOURCES = frozenset(source.name.lower() for source in Source)
APPENDABLE = frozenset(
    row.key for kind, row in KINDS.items() if RIGHT_OF_KIND.get(kind) is Right.APPEND and kind not in BY_COMMAND
)

_WITH = {
    name: frozenset(row.key for row in KINDS.values() if any(field.name == name for field in row.fields))
    for name in ("source", "notifier")
}


@dataclass(frozen=True, slots=True)
class Issuer:
    issuer: str
    audience: str
    keys: str
    """An absolute path or an https URL."""
    algorithms: frozenset[str]
    marketplaces: frozenset[str]
    authorities: Path | None = None
    """Trusted CAs; None: the system's."""


@dataclass(frozen=True, slots=True)
class Grants:
    issuers: tuple[Issuer, ...] = ()
    grants: tuple[Grant, ...] = ()
    limits: tuple[Limit, ...] = ()
    readers_kept: tuple[Pattern, ...] = ()
    persons: tuple[Person, ...] = ()
    four_eyes: tuple[FourEyes, ...] = ()

    def agreement(self, grants: GrantList) -> Agreement:
        person_of = {name: one.person for one in self.persons for name in one.principals}
        spoken_for = {one.issuer: one.marketplaces for one in self.issuers}
        return Agreement(self.four_eyes, person_of, grants, spoken_for)


def load_grants(path: Path) -> Grants:
    """Read and check a grants file. Raises ConfigurationWrong, with every error."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigurationWrong(f"{path}: is larger than {MAX_FILE_BYTES:,} bytes")
        text = data.decode()
        content = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationWrong(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise ConfigurationWrong(f"{path}: is no TOML file: {error}") from None
    except RecursionError:
        raise ConfigurationWrong(f"{path}: is no TOML file: it is nested too deeply") from None
    last = text.rstrip().rpartition("\n")[2].partition("#")[0].rstrip()
    if last != END or content.get("end") != {}:  # or it is within a multi-line text
        raise ConfigurationWrong(
            f"{path}: its last line must be {END}, at most with a comment after it: a file that is cut short could leave out"
            " a limit, and so give more than it is to give"
        )
    return grants_of(content, path)


def grants_of(content: Mapping[str, Any], path: Path) -> Grants:
    """Check the content of a grants file, named `path`; relative files are beside it. Raises ConfigurationWrong."""
    problems = [f"{key}: is not known; known are {', '.join(_TABLES)}" for key in content if key not in _TABLES]
    issuers = [_issuer(table, path.parent) for table in _tables(content, "issuers", problems)]
    grants = [_grant(table) for table in _tables(content, "grants", problems)]
    limits = [_limit(table) for table in _tables(content, "limits", problems)]
    audit = _table(content, "audit", problems)
    readers = _patterns(audit, "readers") if "audit" in content else ()
    audit.end()
    persons = [_person(table) for table in _tables(content, "persons", problems)]
    four_eyes = [_four_eyes(table, len(persons)) for table in _tables(content, "four_eyes", problems)]
    seen: set[str] = set()
    for table, issuer in issuers:
        if issuer.issuer in seen:
            table.say("issuer", "is that of an issuer above")
        seen.add(issuer.issuer)
    accounts: set[str] = set()
    for table, limit in limits:
        if limit.key in accounts:
            table.say("principals", "and classes are those of a limit above; state all of them in one")
        accounts.add(limit.key)
    _refuse_doubles(persons)
    named = [(table, "principals", pattern.text) for table, one in grants for pattern in one.principals]
    named += [(table, "principals", pattern.text) for table, one in limits for pattern in one.principals]
    named += [(table, "principals", name) for table, one in persons for name in one.principals]
    named += [(audit, "readers", pattern.text) for pattern in readers]
    for table, key, name in named:
        if name.startswith("jwt:") and name[4:].partition("#")[0] not in seen:
            table.say(key, f"{name!r} is of an issuer that no [[issuers]] names")
    for table in (*(table for table, _ in [*issuers, *grants, *limits, *persons, *four_eyes]), audit):
        problems += table.problems
    if problems:
        raise ConfigurationWrong("\n".join(f"{path}: {problem}" for problem in problems))
    return Grants(
        tuple(issuer for _, issuer in issuers),
        tuple(grant for _, grant in grants),
        tuple(limit for _, limit in limits),
        readers,
        tuple(person for _, person in persons),
        tuple(rule for _, rule in four_eyes),
    )


_TABLES = ("issuers", "grants", "limits", "persons", "four_eyes", "audit", "end")
_NUMBER = "must be a number above 0, from 0.000001 to 1000000000; leave it out for no limit"
_HOURS = f"must be a number above 0 and at most {MAX_HOURS:g}; leave it out for {DEFAULT_HOURS:g}"
_REQUIRED_TEXT = "is required: a text of at most 512 characters"


class _Table:
    def __init__(self, place: str, values: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self._place = place
        self._values = dict(values)

    def say(self, key: str, problem: str) -> None:
        self.problems.append(f"{self._place}.{key}: {problem}")

    def text(self, key: str, *, required: bool = True) -> str:
        """Take a text; empty if wrong or missing."""
        value = self._values.pop(key, None)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or not 0 < len(value) <= 512:
            self.say(key, _REQUIRED_TEXT if required else "must be a text of at most 512 characters")
            return ""
        return value

    def number(self, key: str, form: str = _NUMBER, most: float = 1e9) -> float:
        value = self._values.pop(key, None)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-6 <= value <= most:
            self.say(key, form)
            return 0
        return value

    def count(self, key: str) -> int:
        value = self._values.pop(key, None)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
            self.say(key, "must be a whole number from 1 to 1000000; leave it out for no limit")
            return 0
        return value

    def words(self, key: str, known: Iterable[str] | Callable[[str], bool], form: str, *, required: bool) -> list[str]:
        value = self._values.pop(key, None)
        if value is None and not required:
            return []
        if not isinstance(value, list) or not value:
            self.say(key, f"must be a list of at least one: {form}")
            return []
        is_known = known if callable(known) else {*known}.__contains__
        for one in value:
            if not isinstance(one, str) or not is_known(one):
                self.say(key, f"{one!r} must be {form}")
        return [one for one in value if isinstance(one, str)]

    def end(self) -> None:
        for key in self._values:
            self.say(key, "is not known here")


def _tables(content: Mapping[str, Any], name: str, problems: list[str]) -> list[_Table]:
    found = content.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        problems.append(f"{name}: must be tables, each under [[{name}]]")
        return []
    return [_Table(f"{name}[{number}]", values) for number, values in enumerate(found)]


def _table(content: Mapping[str, Any], name: str, problems: list[str]) -> _Table:
    found = content.get(name, {})
    if not isinstance(found, dict):
        problems.append(f"{name}: must be a table, under [{name}]")
        found = {}
    return _Table(name, found)


def _issuer(table: _Table, folder: Path) -> tuple[_Table, Issuer]:
    issuer = table.text("issuer")
    if issuer and not is_issuer(issuer):
        table.say("issuer", "must be printable ASCII without blanks, # and *")
    keys = table.text("keys")
    if keys.startswith("http:"):
        table.say("keys", "must be fetched by https")
    elif keys and not keys.startswith("https://"):
        try:
            keys = str(folder / Path(keys).expanduser())
        except RuntimeError:
            table.say("keys", "names a home directory that there is not")
    authorities = table.text("authorities", required=False)
    if authorities and not (folder / authorities).is_file():
        table.say("authorities", "must be a file of certificates in PEM")
    found = Issuer(
        issuer=issuer,
        audience=table.text("audience"),
        keys=keys,
        algorithms=frozenset(
            table.words("algorithms", ALGORITHMS, f"one of {', '.join(sorted(ALGORITHMS))}", required=True)
        ),
        marketplaces=frozenset(table.words("marketplaces", _is_id_or_every, f"* or {ID_FORM}", required=True)),
        authorities=folder / authorities if authorities else None,
    )
    table.end()
    return table, found


def _limit(table: _Table) -> tuple[_Table, Limit]:
    limit = Limit(
        principals=_patterns(table),
        classes=frozenset(table.words("classes", CLASSES, f"one of {', '.join(CLASSES)}", required=False) or CLASSES),
        calls_per_second=table.number("calls_per_second"),
        entries_per_second=table.number("entries_per_second"),
        streams=table.count("streams"),
    )
    if not (table.problems or limit.calls_per_second or limit.entries_per_second or limit.streams):
        table.say("calls_per_second", "or entries_per_second or streams is required")
    if limit.streams and "stream" not in limit.classes:
        table.say("streams", "needs the class stream among classes")
    if limit.entries_per_second and not limit.classes & {"write", "stream"}:
        table.say("entries_per_second", "needs the class write or stream among classes")
    table.end()
    return table, limit


def _patterns(table: _Table, key: str = "principals") -> tuple[Pattern, ...]:
    patterns = []
    for text in table.words(key, lambda _: True, "patterns of principals", required=True):
        try:
            patterns.append(Pattern(text))
        except ValueError as error:
            table.say(key, str(error))
    return tuple(patterns)


def _person(table: _Table) -> tuple[_Table, Person]:
    person = table.text("person")
    if person and not is_id(person):
        table.say("person", f"must be {ID_FORM}")
    patterns = _patterns(table)
    for pattern in patterns:
        if "*" in pattern.text:
            table.say("principals", f"{pattern.text!r}: a person is shown by whole names, without *")
    table.end()
    return table, Person(person, tuple(pattern.text for pattern in patterns))


def _refuse_doubles(persons: Sequence[tuple[_Table, Person]]) -> None:
    """Report repeated persons and names of two persons: one human could count twice."""
    ids: set[str] = set()
    names: set[str] = set()
    for table, one in persons:
        if one.person in ids:
            table.say("person", "is that of a person above; list all names of one person in one table")
        for name in sorted(names.intersection(one.principals)):
            table.say("principals", f"{name!r} shows a person above already")
        ids.add(one.person)
        names.update(one.principals)


def _four_eyes(table: _Table, persons: int) -> tuple[_Table, FourEyes]:
    known = {right.value: right for right in Right if right in NEEDING_TWO}
    words = table.words("rights", known, f"one of {', '.join(known)}", required=True)
    hours = table.number("hours", _HOURS, MAX_HOURS) or DEFAULT_HOURS
    rule = FourEyes(
        rights=frozenset(known[word] for word in words if word in known),
        marketplaces=frozenset(table.words("marketplaces", _is_id_or_every, f"* or {ID_FORM}", required=True)),
        hours=hours,
    )
    if persons < PERSONS:
        table.say("rights", f"need {PERSONS} persons to agree, and the file has {persons}; list them under [[persons]]")
    _require_every_marketplace(table, rule.rights, rule.marketplaces)
    table.end()
    return table, rule


def _require_every_marketplace(table: _Table, rights: frozenset[Right], marketplaces: frozenset[str]) -> None:
    if rights & OF_SERVER and "*" not in marketplaces:
        names = ", ".join(sorted(right.value for right in rights & OF_SERVER))
        table.say("marketplaces", f'must be ["*"] with {names}, which concern every marketplace')


def _grant(table: _Table) -> tuple[_Table, Grant]:
    known = {right.value: right for right in Right}
    words = table.words("rights", known, f"one of {', '.join(known)}", required=True)
    rights = frozenset(known[word] for word in words if word in known)
    appends = Right.APPEND in rights
    kinds = table.words("kinds", {"*", *APPENDABLE}, f"* or one of {', '.join(sorted(APPENDABLE))}", required=appends)
    meant = APPENDABLE if "*" in kinds else frozenset(kinds)
    grant = Grant(
        principals=_patterns(table),
        rights=rights,
        marketplaces=frozenset(table.words("marketplaces", _is_id_or_every, f"* or {ID_FORM}", required=True)),
        sellers=frozenset(table.words("sellers", _is_id_or_every, f"* or {ID_FORM}", required=False)) or EVERY,
        kinds=meant | _kinds_beside(rights),
        sources=frozenset(
            table.words(
                "sources",
                {"*", *SOURCES},
                f"* or one of {', '.join(sorted(SOURCES))}",
                required=appends and bool(meant & _WITH["source"]),
            )
        ),
        notifiers=frozenset(
            table.words(
                "notifiers", _is_id_or_every, f"* or {ID_FORM}", required=appends and bool(meant & _WITH["notifier"])
            )
        ),
        entry_ids=tuple(
            table.words("entry_ids", _is_id_or_every, "* or how entry ids begin", required=bool(rights & WRITING))
        ),
        actions=frozenset(
            table.words(
                "actions",
                {"*", *ACTIONS},
                f"* or one of {', '.join(sorted(ACTIONS))}",
                required=Right.DECIDE in rights or Right.BULK_DECIDE in rights,
            )
        ),
    )
    if rights & WRITING and "*" not in grant.sellers and "*" in grant.entry_ids:
        table.say(
            "entry_ids", "must name how ids begin beside sellers: a refused id tells that another seller's entry has it"
        )
    _require_every_marketplace(table, rights, grant.marketplaces)
    table.end()
    return table, grant


def _kinds_beside(rights: frozenset[Right]) -> frozenset[str]:
    beside = rights - {Right.APPEND}
    return frozenset(
        KINDS[kind].key for kind, right in RIGHT_OF_KIND.items() if right in beside and kind not in BY_COMMAND
    )


def _is_id_or_every(text: str) -> bool:
    return text == "*" or is_id(text)
