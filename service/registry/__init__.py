"""The model registry: immutable artifacts by digest, and an append-only log of who is champion, and why."""

from service.registry.moves import CHALLENGER, CHAMPION, PREVIOUS, SHADOW, Move
from service.registry.registry import Registry

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "SHADOW", "Move", "Registry"]
