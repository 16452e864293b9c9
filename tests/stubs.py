"""Generates the checked-in protobuf stubs, and names stale ones.

    python -m tests.stubs generate|check [--environment FOLDER]

The generator needs an older protobuf than the service. `./dev env stubs` makes its environment
(requirements/stubs.lock); `./dev stubs` runs this.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
ENVIRONMENT = Path(f"{os.environ.get('DEV_VENV', ROOT / '.venv')}-stubs")
PLUGINS = ("python", "grpc_python", "mypy", "mypy_grpc")


def generated(environment: Path = ENVIRONMENT) -> dict[str, bytes]:
    """Return the stubs of the .proto files: path below proto/ -> content.

    Raises RuntimeError with protoc's message if it rejects a file.
    """
    sources = sorted(PROTO.rglob("*.proto"))
    includes = [PROTO]
    if any('import "google/rpc/' in source.read_text() for source in sources):
        includes += environment.glob("lib/python3*/site-packages")
    python = environment / "bin" / "python"
    plugins_first = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with tempfile.TemporaryDirectory() as folder:
        options = [f"-I{path}" for path in includes] + [f"--{plugin}_out={folder}" for plugin in PLUGINS]
        done = subprocess.run(
            [python, "-m", "grpc_tools.protoc", *options, *sources],
            env={**os.environ, "PATH": plugins_first},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"protoc refused:\n{done.stderr}")
        return contents(Path(folder))


def contents(folder: Path) -> dict[str, bytes]:
    paths = [*folder.rglob("*_pb2*.py"), *folder.rglob("*_pb2*.pyi")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def stale(wanted: dict[str, bytes]) -> list[str]:
    there = contents(PROTO)
    return sorted(path for path in wanted.keys() | there.keys() if wanted.get(path) != there.get(path))


def write(wanted: dict[str, bytes]) -> None:
    for path in stale(wanted):
        if path in wanted:
            (PROTO / path).write_bytes(wanted[path])
        else:
            (PROTO / path).unlink()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stubs")
    parser.add_argument("command", choices=["generate", "check"])
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, help="that of the generator")
    arguments = parser.parse_args()
    wanted = generated(arguments.environment)
    paths = stale(wanted)
    if arguments.command == "generate":
        write(wanted)
        print(f"{len(wanted)} stubs, written anew: {', '.join(paths) or 'none'}")
        return 0
    for path in paths:
        print(f"proto/{path} is stale: run ./dev stubs")
    return 1 if paths else 0


if __name__ == "__main__":
    sys.exit(main())
