"""One file per method: its defaults, its equation, its registration."""

from .houlsby import HoulsbyConfig, HoulsbyModel
from .parallel import ParallelAdapterConfig, ParallelAdapterModel
from .pfeiffer import PfeifferConfig, PfeifferModel

__all__ = [
    "HoulsbyConfig",
    "HoulsbyModel",
    "ParallelAdapterConfig",
    "ParallelAdapterModel",
    "PfeifferConfig",
    "PfeifferModel",
]
