import socket

from service.api.server import Server
from service.api.telemetry.logs import make_log
from service.bootstrap import run_server
from service.engine.end_requests import EndRequests
from service.settings import Settings
from service.workers.link import WorkerLink


def work(settings: Settings, number: int, descriptor: int) -> int:
    """Serve as a worker until asked to end; return the exit code. It needs the main thread.

    `descriptor`: of the socket to the supervisor.
    """
    requests = EndRequests()
    link = WorkerLink(socket.socket(fileno=descriptor), requests.ask)

    def tell_ready(server: Server) -> None:
        link.tell_ready(server.address, server.metrics)

    log = make_log(level=settings.log_level, is_deferred=True, also={"process": number})
    return run_server(settings, tell_ready, requests=requests, log=log, records=number == 1)
