"""The header `authorization` of a call, and the error of a call that shows nothing which proves anybody."""

import grpc

from scoring.base.errors import Unauthenticated

_ONE_TOKEN = "the authorization header must be one bearer token"  # noqa: S105 (it is no token)


def authorization_of(context: grpc.ServicerContext) -> str:
    """Return the header `authorization` of a call; "" without one. Unauthenticated if it has several, or an empty one."""
    found = ""
    for key, value in context.invocation_metadata():
        if key == "authorization":
            if found or not value:
                raise unauthenticated(_ONE_TOKEN)
            found = str(value)
    return found


def bearer_token(header: str) -> str:
    """Return the bearer token in a header. Unauthenticated if it holds credentials of another kind."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise unauthenticated(_ONE_TOKEN)
    return token


def unauthenticated(problem: str) -> Unauthenticated:
    """Return the error of a call that proves nobody, with the remedy."""
    return Unauthenticated(f"{problem}; show a client certificate, or a valid bearer token of an issuer known here")
