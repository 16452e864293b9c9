import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from sellertrust.machine import file_state
from service.access.decision import GrantList
from service.access.four_eyes import Agreement
from service.access.grants import Grants, Issuer, load_grants
from service.access.key_sets import KeySource
from service.access.limits import CallerLimits
from service.access.principals import Pattern
from service.access.tokens import Tokens

LOOK_SECONDS = 0.5

Report = Callable[[str, str], object]
"""Called with an event and the problem, empty without one."""


@frozen
class Rules:
    grants: GrantList
    tokens: Tokens
    has_issuers: bool
    limits: CallerLimits
    agreement: Agreement
    readers_kept: tuple[Pattern, ...] = ()

    def is_reader_kept(self, principals: Iterable[str]) -> bool:
        """Return whether the audit file records the principals' reads."""
        return any(pattern.matches(name) for name in principals for pattern in self.readers_kept)


class GrantsFile:
    """Followed from `start` to `stop`. While the file is wrong, the last good grants stay in force."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report
        self._sources: dict[Issuer, KeySource] = {}
        self._limits = CallerLimits()
        self._is_ending = threading.Event()
        self._adopted_state = self._read_state()
        self.rules = self._build_rules(load_grants(path))

    def start(self) -> None:
        threading.Thread(target=self._follow, name="grants", daemon=True).start()

    def stop(self) -> None:
        """Let the threads end, without waiting for them."""
        self._is_ending.set()
        for source in self._sources.values():
            source.stop()

    def _follow(self) -> None:
        """Take over each new content once the file is the same at two looks, until `stop`."""
        before = self._adopted_state
        while not self._is_ending.wait(LOOK_SECONDS):
            state = self._read_state()
            if state == before and state != self._adopted_state:
                self._adopted_state = state
                try:
                    self.rules = self._build_rules(load_grants(self._path))
                    self._report("grants taken over", "")
                except ConfigurationWrong as error:
                    self._report("grants refused, the last good ones stay in force", error.message)
                except Exception as error:  # noqa: BLE001 (whatever the file holds, later ones must be taken over)
                    problem = f"{self._path} cannot be read ({type(error).__name__})"
                    self._report("grants refused, the last good ones stay in force", problem)
            before = state

    def _read_state(self) -> object:
        try:
            return file_state(self._path)
        except OSError:
            return None

    def _build_rules(self, content: Grants) -> Rules:
        sources: dict[Issuer, KeySource] = {}
        try:
            for issuer in content.issuers:
                sources[issuer] = self._sources.get(issuer) or self._start_source(issuer)
        except ConfigurationWrong:
            for issuer, source in sources.items():
                if issuer not in self._sources:
                    source.stop()
            raise
        for issuer, source in self._sources.items():
            if issuer not in sources:
                source.stop()
        self._sources = sources
        tokens = Tokens({issuer.issuer: (issuer, source) for issuer, source in sources.items()})
        self._limits = self._limits.renewed(content.limits)
        grants = GrantList(content.grants)
        return Rules(grants, tokens, bool(sources), self._limits, content.agreement(grants), content.readers_kept)

    def _start_source(self, issuer: Issuer) -> KeySource:
        def report(problem: str) -> None:
            self._report("keys of an issuer refused, the last good ones stay in use", f"{issuer.issuer}: {problem}")

        source = KeySource(issuer.keys, issuer.authorities, report)
        source.start()
        return source
