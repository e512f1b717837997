"""One file per method: its defaults, its equation, its registration."""

from ..cards import complete_pushed_cards
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
complete_pushed_cards()
