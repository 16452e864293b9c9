"""An empty Starlette for `badge`: `python -m tests.bench._bare_web READY_FILE BODY_FILE` answers with the body."""

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.web.connections import bounded_protocol, uvicorn_options


def main(ready: Path, body: bytes) -> None:
    """Serves."""

    async def answer(request: Request) -> Response:
        return Response(body, media_type="image/svg+xml")

    app = Starlette(routes=[Route("/badge/{marketplace}/{seller}.svg", answer)])
    listener = socket.create_server(("127.0.0.1", 0))
    ready.write_text(f"127.0.0.1:{listener.getsockname()[1]}\n")
    options = uvicorn_options(bounded_protocol({}))
    asyncio.run(uvicorn.Server(uvicorn.Config(app, lifespan="off", **options)).serve(sockets=[listener]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes())
