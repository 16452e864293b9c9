"""Reflection of the public contract for tools such as grpcurl, open to all.

It is on by default if only this machine reaches the server. Its package is an extra.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH

from service.api.telemetry.call_records import Method
from service.engine.handover import run_in_pool
from service.settings import Settings, is_loopback


def add_reflection(server: grpc.Server, services: Iterable[str], settings: Settings, pool: ThreadPoolExecutor) -> None:
    """Register reflection over `services` and health if only this machine reaches the server and the package exists."""
    if settings.is_mesh or not is_loopback(settings.address):
        return
    try:
        from grpc_reflection.v1alpha import reflection
        from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
    except ModuleNotFoundError:
        return
    servicer = reflection.ReflectionServicer((*services, HEALTH, reflection.SERVICE_NAME))

    def reflect(requests: Any, context: grpc.ServicerContext) -> Any:
        return servicer.ServerReflectionInfo(requests, context)

    # A stream holds a thread while it is open, so the pool must know that this is one.
    name = f"{reflection.SERVICE_NAME.rpartition('.')[2]}/ServerReflectionInfo"
    method = Method(name, ServerReflectionRequest, takes_stream=True, gives_stream=True, call_class="reflection")
    run_in_pool(reflect, pool, method)
    forms = ServerReflectionRequest.FromString, ServerReflectionResponse.SerializeToString
    handler: Any = grpc.stream_stream_rpc_method_handler(reflect, *forms)
    server.add_registered_method_handlers(reflection.SERVICE_NAME, {"ServerReflectionInfo": handler})
