"""Bottleneck adapters (Houlsby, Pfeiffer, parallel) as tuner types of Hugging Face PEFT.

Importing this package registers `HOULSBY`, `PFEIFFER` and `PARALLEL_ADAPTER` with PEFT.
"""

from .adapterhub import load_adapterhub, save_adapterhub
from .compose import average, fuse, in_parallel
from .config import BottleneckConfig
from .fusion_training import fusion_loss
from .methods import (
    HoulsbyConfig,
    HoulsbyModel,
    ParallelAdapterConfig,
    ParallelAdapterModel,
    PfeifferConfig,
    PfeifferModel,
)
from .mixed_model import install as _install
from .prefix import FrozenPrefix, reuse_prefix
from .swapping import hotswap_adapter, rescale_adapter_scale

_install(HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig)

__all__ = [
    "BottleneckConfig",
    "FrozenPrefix",
    "HoulsbyConfig",
    "HoulsbyModel",
    "ParallelAdapterConfig",
    "ParallelAdapterModel",
    "PfeifferConfig",
    "PfeifferModel",
    "average",
    "fuse",
    "fusion_loss",
    "hotswap_adapter",
    "in_parallel",
    "load_adapterhub",
    "rescale_adapter_scale",
    "reuse_prefix",
    "save_adapterhub",
]
__version__ = "0.1.0.dev0"
