"""Reuse of the frozen prefix: the blocks below everything that is trained are computed once for each example."""

from .frozen import FrozenPrefix
from .models import find_prefix
from .reuse import reuse_prefix
from .stack import Stack
from .store import stored_bytes

__all__ = ["FrozenPrefix", "Stack", "find_prefix", "reuse_prefix", "stored_bytes"]
