"""Principals: authenticated callers, each as one text, and the patterns that grants name them with.

docs/how-to/access.md lists their forms. In a pattern a `*` matches one whole segment: between slashes of a URI, dots of
a DNS name, slashes or colons of a subject. A trust domain, a host and an issuer are exact.
"""

import re
from collections.abc import Iterable
from math import inf

from scoring.base.frozen import frozen
from service.call_context import LOCAL_CALLER

MAX_NAME = 2_048

FORMS = "spiffe://DOMAIN/PATH, uri:URI, dns:NAME or jwt:ISSUER#SUBJECT, in lower case where case means nothing"

_TRUST_DOMAIN = r"[a-z0-9._-]{1,255}"
_SPIFFE = re.compile(rf"spiffe://{_TRUST_DOMAIN}(/(?!\.\.?(/|$))[A-Za-z0-9._-]+)*")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!-)+-~]+")
_DNS = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_SUBJECT = re.compile(r"[!-)+-~]{1,255}")
_ISSUER = re.compile(r"[!\"$-)+-~]{1,512}")


@frozen
class Principal:
    name: str
    is_bound: bool
    """Whether this connection proves it (a certificate, `local`); a token could be a copy."""
    expires: float = inf
    marketplaces: frozenset[str] | None = None
    """The marketplaces that its issuer may act for; None: all."""


LOCAL = Principal(LOCAL_CALLER, is_bound=True)


def certificate_name(uris: Iterable[str], dns_names: Iterable[str]) -> str:
    """Return the principal named by a certificate's subject alternative names: the only URI, else the only DNS name.

    Raises ValueError if there are none or several, or if it is malformed. `certificate_name([],
    ["checkout.acme.example"]) == "dns:checkout.acme.example"`.
    """
    candidates = [*uris]
    if not candidates:
        names = [name.lower() for name in dns_names]
        if len(names) != 1 or not _DNS.fullmatch(names[0]):
            raise ValueError(
                f"its certificate has {len(names)} DNS names and no URI; it needs one of either, no wildcard"
            )
        return f"dns:{names[0]}"
    if len(candidates) != 1 or len(candidates[0]) > MAX_NAME:
        raise ValueError(
            f"its certificate has {len(candidates)} URIs; it needs one, of at most {MAX_NAME:,} characters"
        )
    if candidates[0].lower().startswith("spiffe:"):
        if not _SPIFFE.fullmatch(candidates[0]):
            raise ValueError("its certificate has a malformed SPIFFE id")
        return candidates[0]
    if not _URI.fullmatch(candidates[0]):
        raise ValueError("its certificate has a malformed URI")
    return f"uri:{candidates[0]}"


def token_name(issuer: str, subject: object) -> str:
    """Return a token's principal, `jwt:ISSUER#SUBJECT`.

    Raises ValueError unless the subject is 1 to 255 printable ASCII characters without blanks and `*`.
    """
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise ValueError("its subject must be 1 to 255 printable ASCII characters without blanks and *")
    return f"jwt:{issuer}#{subject}"


def is_issuer(text: str) -> bool:
    """Return whether it is 1 to 512 printable ASCII characters without `#` and `*`."""
    return _ISSUER.fullmatch(text) is not None


def is_principal(text: str) -> bool:
    if text == LOCAL.name:
        return True
    try:
        return "*" not in text and Pattern(text).text == text
    except ValueError:
        return False


class Pattern:
    """`Pattern("dns:*.acme.example")` matches `dns:checkout.acme.example`, but not `dns:a.b.acme.example`.

    Raises ValueError if malformed.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._regex = re.compile(_make_pattern_regex(text))

    def matches(self, name: str) -> bool:
        return self._regex.fullmatch(name) is not None


def _make_pattern_regex(text: str) -> str:
    scheme, _, name = text.partition(":")
    exact = text.replace("*", "x")
    match scheme:
        case "spiffe" if _SPIFFE.fullmatch(exact):
            return _make_segments_regex(text, "/", exact_before=3)
        case "uri" if _URI.fullmatch(exact.removeprefix("uri:")):
            return _make_segments_regex(text, "/", exact_before=3)
        case "dns" if _DNS.fullmatch(exact.removeprefix("dns:")):
            if "*" in name.rpartition(".")[2]:
                raise ValueError(f"{text!r}: the last label must not be *")
            return "dns:" + _make_segments_regex(name, ".", exact_before=0)
        case "jwt" if "#" in name:
            issuer, _, subject = name.partition("#")
            if is_issuer(issuer) and _SUBJECT.fullmatch(subject.replace("*", "x")):
                return re.escape(f"jwt:{issuer}#") + _make_segments_regex(subject, "/:", exact_before=0, pattern=text)
    raise ValueError(f"{text!r} is no principal: it must be {FORMS}")


def _make_segments_regex(text: str, separators: str, exact_before: int, pattern: str = "") -> str:
    """Return a regex in which a `*` matches one segment between separators. Raises ValueError for other stars."""
    parts = re.split(f"([{separators}])", text)
    for number, part in enumerate(parts[::2]):
        if "*" in part and (part != "*" or number < exact_before):
            problem = "a * stands for one whole segment, and not in a trust domain, host or issuer"
            raise ValueError(f"{pattern or text!r}: {problem}")
    return "".join(f"[^{separators}]+" if part == "*" else re.escape(part) for part in parts)
