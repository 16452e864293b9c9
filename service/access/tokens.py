"""Bearer tokens: JSON Web Tokens of the grants file's issuers, verified and turned into a principal.

Rejected are tokens over 8 KB or valid for over an hour, unpublished keys, another audience, algorithm or certificate. So
are headers that choose a key or rules.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from math import inf

import jwt

from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen
from service.access.grants import Issuer
from service.access.key_sets import KeySource, VerifyingKey
from service.access.principals import Principal, token_name

MAX_TOKEN_BYTES = 8 << 10
MAX_LIFE_SECONDS = 3_600
SKEW_SECONDS = 30
"""An issuer's clock may differ so far."""
REMEMBERED_SECONDS = 60
MAX_REMEMBERED = 10_000

_REFUSED_HEADERS = frozenset({"jku", "x5u", "x5c", "jwk", "crit", "b64", "zip", "enc"})
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class TokenRefused(Exception):
    """The message quotes nothing from the token."""


@frozen
class VerifiedToken:
    principal: Principal
    thumbprint: str | None
    """The thumbprint of the certificate that the token is bound to; None if unbound."""
    until: float
    generation: int
    """The generation of the issuer's keys at the verification."""
    source: KeySource

    @property
    def is_current(self) -> bool:
        return self.generation == self.source.generation


class Tokens:
    """Thread-safe."""

    def __init__(self, issuers: Mapping[str, tuple[Issuer, KeySource]], clock: Callable[[], float] = time.time) -> None:
        self._issuers = issuers
        self._clock = clock
        self._lock = threading.Lock()
        self._remembered: OrderedDict[bytes, VerifiedToken] = OrderedDict()

    def verify(self, token: str, thumbprint: str | None = None) -> VerifiedToken:
        """Verify a token once.

        Raises TokenRefused if it is too long, expired, for another audience, or without its issuer's valid signature. A
        token that is bound to a certificate also needs that certificate's `thumbprint`.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefused(f"is longer than {MAX_TOKEN_BYTES:,} bytes")
        digest = sha256(token.encode("utf-8", "replace")).digest()
        now = self._clock()
        verified = self._remembered.get(digest)
        if verified is None or now >= verified.until or not verified.is_current:
            verified = self._verify(token, now)
            with self._lock:
                self._remembered[digest] = verified
                if len(self._remembered) > MAX_REMEMBERED:
                    self._remembered.popitem(last=False)
        if verified.thumbprint is not None and verified.thumbprint != thumbprint:
            raise TokenRefused("is bound to another certificate than the call shows")
        return verified

    def is_plausible(self, token: str) -> bool:
        """Return whether a token names a known issuer, a key of it, and a time that is not over. It proves nothing."""
        if len(token) > MAX_TOKEN_BYTES or token.count(".") != 2:
            return False
        try:
            header, claims = _read_unverified(token)
            _, source = self._find_issuer(claims)
            name = header.get("kid")
            return isinstance(name, str) and name in source.keys and _require_current(claims, self._clock()) > 0
        except TokenRefused:
            return False

    def _find_issuer(self, claims: JsonObject) -> tuple[Issuer, KeySource]:
        issuer = self._issuers.get(str(claims.get("iss", "")))
        if issuer is None:
            raise TokenRefused("is of an issuer that is not known here")
        return issuer

    def _verify(self, token: str, now: float) -> VerifiedToken:
        header, claims = _read_unverified(token)
        issuer, source = self._find_issuer(claims)
        generation = source.generation
        key = _find_key(header, issuer, source)
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=issuer.audience,
                issuer=issuer.issuer,
                options={
                    "require": ["exp", "iat", "sub"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.InvalidAudienceError:
            raise TokenRefused("is for another audience") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise TokenRefused("is not signed by its issuer, or lacks exp, iat or sub") from None
        expires = _require_current(claims, now)
        try:
            name = token_name(issuer.issuer, claims["sub"])
        except ValueError as error:
            raise TokenRefused(str(error).removeprefix("its ")) from None
        principal = Principal(name, is_bound=False, expires=expires, marketplaces=issuer.marketplaces)
        return VerifiedToken(
            principal, _read_thumbprint(claims), min(expires, now + REMEMBERED_SECONDS), generation, source
        )


def _read_unverified(token: str) -> tuple[JsonObject, JsonObject]:
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenRefused("is no JSON Web Token") from None
    header, claims = parts["header"], parts["payload"]
    if _REFUSED_HEADERS & header.keys():
        raise TokenRefused("has a header that would change how it is verified")
    if not isinstance(header.get("typ", "JWT"), str) or header.get("typ", "JWT").lower() not in _TYPES:
        raise TokenRefused("is of another type than JWT")
    return header, claims


def _find_key(header: JsonObject, issuer: Issuer, source: KeySource) -> VerifyingKey:
    name = header.get("kid")
    key = source.keys.get(name) if isinstance(name, str) else None
    if key is None:
        source.report_missing()
        raise TokenRefused("is signed by a key that its issuer does not publish")
    if header.get("alg") != key.algorithm or key.algorithm not in issuer.algorithms:
        raise TokenRefused("has another algorithm than its key, or one that is not listed for its issuer")
    return key


def _require_current(claims: JsonObject, now: float) -> float:
    """Return when the token expires, in seconds since 1970, SKEW_SECONDS later. Raises TokenRefused."""
    times = [claims.get(name) for name in ("exp", "iat", "nbf")]
    if any(isinstance(time, bool) or not isinstance(time, int | float | None) for time in times):
        raise TokenRefused("states times that are none")
    try:
        expires, issued, begins = (float(time) if time is not None else -inf for time in times)
    except OverflowError:
        raise TokenRefused("states times that are none") from None
    if not expires < inf or not issued < inf:
        raise TokenRefused("states times that are none")
    if now >= expires + SKEW_SECONDS:
        raise TokenRefused("has expired")
    if max(issued, begins) > now + SKEW_SECONDS:
        raise TokenRefused("is not good yet")
    if expires - issued > MAX_LIFE_SECONDS:
        raise TokenRefused(f"is good for more than {MAX_LIFE_SECONDS:,} seconds")
    return expires + SKEW_SECONDS


def _read_thumbprint(claims: JsonObject) -> str | None:
    confirmation = claims.get("cnf")
    if confirmation is None:
        return None
    match confirmation:
        case {"x5t#S256": str(thumbprint), **others} if not others:
            return thumbprint
    raise TokenRefused("is bound by other means than a certificate")
