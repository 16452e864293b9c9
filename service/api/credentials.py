"""Read the header `authorization` of a call."""

import grpc

from scoring.base.errors import Unauthenticated

_ONE_TOKEN = "the authorization header must be one bearer token"  # noqa: S105 (it is no token)


def authorization_of(context: grpc.ServicerContext) -> str:
    """Return the header `authorization`; "" without one. Raises Unauthenticated for several, or an empty one."""
    found = ""
    for key, value in context.invocation_metadata():
        if key == "authorization":
            if found or not value:
                raise unauthenticated(_ONE_TOKEN)
            found = str(value)
    return found


def bearer_token(header: str) -> str:
    """Return the token of `Bearer TOKEN`. Raises Unauthenticated for another header."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise unauthenticated(_ONE_TOKEN)
    return token


def unauthenticated(problem: str) -> Unauthenticated:
    return Unauthenticated(f"{problem}; show a client certificate, or a valid bearer token of an issuer known here")
