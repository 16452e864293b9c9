"""The throwaway process: loads a model once where it can do no harm, before a server does.

`python -m service.registry.intake` reads the parts of a model from stdin and loads them, LightGBM included, under limits
of time and memory. It prints the digest, or why the model is refused. What crashes, hangs or eats memory dies alone.
"""

import ctypes
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from scoring.errors import ArtifactRefused
from service.registry.lean_lightgbm import leave_out_optional

SECONDS = 120.0
"""On the clock. Most models take 2 s, of which 1 s is the start of Python; on a busy machine the process waits for others."""
PROCESSOR_SECONDS = 60
MEMORY_BYTES = 4 << 30
REFUSED = 3
"""Exit code of a refusal."""

_ROOT = Path(__file__).parents[2]
_COMMAND = (sys.executable, "-P", "-m", "service.registry.intake")
_HANDED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_LENGTH = struct.Struct(">Q")


def try_out(parts: Mapping[str, bytes], *, seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> str:
    """Load a model in a process of its own, with limits; return its digest.

    So a damaged model crashes no server. ArtifactRefused if the process refuses it, dies, or does not end in `seconds`.
    """
    try:
        done = subprocess.run(
            [*_COMMAND, str(PROCESSOR_SECONDS), str(memory_bytes)],
            input=_packed(parts),
            capture_output=True,
            env=_environment(),
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ArtifactRefused(f"the model was not loaded within {seconds:g} s by the process that tries it") from None
    except OSError as error:
        raise ArtifactRefused(f"the process that tries a model cannot be started: {error.strerror}") from None
    output = done.stdout.decode(errors="replace").strip()
    if done.returncode == REFUSED and output:
        raise ArtifactRefused(output[:500])
    if done.returncode or not output:
        how = describe_end(done.returncode)
        raise ArtifactRefused(f"the process that tried the model {how}: it may be damaged, or need too much memory")
    return output


def describe_end(code: int) -> str:
    """Return how a process ended, by its return code, as the end of a sentence.

    -9 gives `was ended by signal 9 (SIGKILL)`, 1 `ended with code 1`.
    """
    return f"was ended by signal {-code} ({_signal(-code)})" if code < 0 else f"ended with code {code}"


def main() -> int:
    """Load the model on stdin under limits, and print its digest or why it is refused.

    The process that `try_out` starts; returns its exit code.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1])))
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]), int(sys.argv[2])))
    os.nice(10)  # whoever waits for a score comes first
    if sys.platform == "linux":  # a server that is killed takes it along
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    answer = os.dup(1)
    os.dup2(2, 1)  # LightGBM writes warnings to stdout
    leave_out_optional()
    try:
        from scoring.model.artifact import load

        text, code = load(_unpacked(sys.stdin.buffer.read())).digest, 0
    except ArtifactRefused as error:
        text, code = error.message, REFUSED
    except MemoryError:
        text, code = f"the model needs more than {int(sys.argv[2]) >> 20} MB to be loaded", REFUSED
    os.write(answer, text.encode()[:4_000])
    return code


def _packed(parts: Mapping[str, bytes]) -> bytes:
    head = json.dumps({name: len(data) for name, data in parts.items()}).encode()
    return b"".join([_LENGTH.pack(len(head)), head, *parts.values()])


def _unpacked(data: bytes) -> dict[str, bytes]:
    (length,) = _LENGTH.unpack_from(data)
    place, parts = _LENGTH.size + length, {}
    for name, size in json.loads(data[_LENGTH.size : place]).items():
        parts[name] = data[place : place + size]
        place += size
    return parts


def _environment() -> dict[str, str]:
    """Return the environment of the process.

    Only what Python needs, no password of a database, no key.
    """
    kept = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    path = [str(_ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(path)}


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
