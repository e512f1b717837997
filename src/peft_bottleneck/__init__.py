"""Bottleneck adapters (Houlsby, Pfeiffer, parallel) as tuner types of Hugging Face PEFT.

Importing this package registers `HOULSBY`, `PFEIFFER` and `PARALLEL_ADAPTER` with PEFT.
"""

from .adapterhub import load_adapterhub, save_adapterhub
from .config import BottleneckConfig
from .methods import (
    HoulsbyConfig,
    HoulsbyModel,
    ParallelAdapterConfig,
    ParallelAdapterModel,
    PfeifferConfig,
    PfeifferModel,
)
from .swapping import hotswap_adapter, rescale_adapter_scale

__all__ = [
    "BottleneckConfig",
    "HoulsbyConfig",
    "HoulsbyModel",
    "ParallelAdapterConfig",
    "ParallelAdapterModel",
    "PfeifferConfig",
    "PfeifferModel",
    "hotswap_adapter",
    "load_adapterhub",
    "rescale_adapter_scale",
    "save_adapterhub",
]
__version__ = "0.1.0.dev0"
