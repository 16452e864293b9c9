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
    descriptors = FileDescriptorSet()
    seen: set[str] = set()

    def add_after_imports(file: Any) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for needed in file.dependencies:
                add_after_imports(needed)
            file.CopyToProto(descriptors.file.add())

    stubs = (file.name for file in files("sellertrust.v1").iterdir() if file.name.endswith("_pb2.py"))
    ours = [import_module(f"sellertrust.v1.{name.removesuffix('.py')}") for name in sorted(stubs)]
    for module in (error_details_pb2, status_pb2, *ours):
        add_after_imports(module.DESCRIPTOR)
    return descriptors


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(descriptor_set().SerializeToString())
