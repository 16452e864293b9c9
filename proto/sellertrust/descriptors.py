"""Writes the contract for a proxy, with the details of errors: `python -m sellertrust.descriptors FILE`."""

import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2


def descriptor_set() -> FileDescriptorSet:
    """Return the contract with error details, each file after its imports."""
    found = FileDescriptorSet()
    seen: set[str] = set()

    def add(file: Any) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for needed in file.dependencies:
                add(needed)
            file.CopyToProto(found.file.add())

    stubs = (one.name for one in files("sellertrust.v1").iterdir() if one.name.endswith("_pb2.py"))
    ours = [import_module(f"sellertrust.v1.{name.removesuffix('.py')}") for name in sorted(stubs)]
    for module in (error_details_pb2, status_pb2, *ours):
        add(module.DESCRIPTOR)
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(descriptor_set().SerializeToString())
