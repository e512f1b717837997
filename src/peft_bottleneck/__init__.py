"""Bottleneck adapters (Houlsby, Pfeiffer, parallel) as tuner types of Hugging Face PEFT.

Importing this package registers `HOULSBY`, `PFEIFFER` and `PARALLEL_ADAPTER` with PEFT.
"""

from .methods import (
    HoulsbyConfig,
    HoulsbyModel,
    ParallelAdapterConfig,
    ParallelAdapterModel,
    PfeifferConfig,
    PfeifferModel,
)

__all__ = [
    "HoulsbyConfig",
    "HoulsbyModel",
    "ParallelAdapterConfig",
    "ParallelAdapterModel",
    "PfeifferConfig",
    "PfeifferModel",
]
__version__ = "0.1.0.dev0"
