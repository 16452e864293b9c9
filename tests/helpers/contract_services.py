from importlib import import_module
from pathlib import Path

from google.protobuf.descriptor import ServiceDescriptor

PROTO = Path(__file__).parents[2] / "proto" / "sellertrust" / "v1"

SERVICES: list[ServiceDescriptor] = [
    service
    for path in sorted(PROTO.glob("*_service.proto"))
    for service in import_module(f"sellertrust.v1.{path.stem}_pb2").DESCRIPTOR.services_by_name.values()
]
"""Every service of the contract, read from its files and not from the server."""
