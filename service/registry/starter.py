from hashlib import sha256
from pathlib import Path

from service.registry.gates import GATES
from service.registry.registry import Registry

_FOLDER = Path(__file__).parent / "starter_model"
STARTER_DIGEST = sha256((_FOLDER / "manifest.json").read_bytes()).hexdigest()
STARTER_NAME = "starter"


def publish_starter(registry: Registry, now: int) -> None:
    """Make the starter model champion of an empty registry only. `now`: in microseconds."""
    if not registry.digests():
        parts = {file.name: file.read_bytes() for file in _FOLDER.iterdir()}
        gates = {GATES: parts.pop(GATES)}
        reason = "the starter model: trained on a simulated market"
        registry.publish(parts, actor="sellertrust", reason=reason, now=now, attachments=gates)
