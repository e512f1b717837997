"""What decides the output of the frozen blocks, beside the inputs: a hash, and the same in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from ..modules import base_modules
from .stack import Stack

FORMAT = 1
# Keys of a configuration that do not reach the blocks.
_OF_NO_CONCERN = {
    "_name_or_path", "architectures", "dtype", "id2label", "label2id", "num_labels", "problem_type", "return_dict",
    "torch_dtype", "transformers_version", "use_cache",
}  # fmt: skip


@dataclass(frozen=True)
class Precision:
    """How a call computes: on which kind of device, and under which autocast."""

    device: str
    autocast: str

    @classmethod
    def now(cls, device: torch.device) -> Precision:
        on = torch.is_autocast_enabled(device.type)
        return cls(device.type, str(torch.get_autocast_dtype(device.type)) if on else "off")


def frozen_tensors(owner: nn.Module, stack: Stack, blocks: int) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers that the first blocks, and what comes before them, compute with.

    Adapters are left out: none of these modules holds an active one (`stack.frozen_blocks`).
    """
    for name, module in stack.upstream(owner):
        yield from _own(name, module)
    for index, block in enumerate(owner.get_submodule(stack.blocks).children()):
        if index < blocks:
            for name, module in base_modules(block):
                yield from _own(f"{stack.blocks}.{index}.{name}", module)


def _own(name: str, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for tensors in (module._parameters, module._buffers):
        for own_name, tensor in tensors.items():
            if tensor is not None:
                yield f"{name}.{own_name}", tensor


def state_of(tensors: Mapping[str, Tensor]) -> object:
    """Changes whenever one of the tensors does: where each is, and how often it was written to."""
    return tuple(
        (tensor.data_ptr(), tensor.dtype, -1 if tensor.is_inference() else tensor._version)
        for tensor in tensors.values()
    )


def check_whole(owner: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Whether the weights are all here.

    Raises:
        ValueError: names one that is on the meta device, on disk, or sharded over processes.
    """
    sharded = any("FullyShardedDataParallel" in type(module).__name__ for module in owner.modules())
    for name, tensor in tensors.items():
        if sharded or hasattr(tensor, "ds_id") or hasattr(tensor, "device_mesh"):
            raise ValueError(f"{name} is sharded over processes: FSDP and DeepSpeed ZeRO-3 cannot reuse a prefix.")
        if tensor.is_meta:
            raise ValueError(f"{name} is not in memory (meta device, or offloaded): its model cannot reuse a prefix.")


def describe(owner: Any, stack: Stack, blocks: int, precision: Precision, dtype: torch.dtype) -> dict[str, object]:
    """What the rows of a store are, for people, and a part of the fingerprint."""
    config = {key: value for key, value in owner.config.to_dict().items() if key not in _OF_NO_CONCERN}
    return {
        "format": FORMAT,
        "model": type(owner).__name__,
        "blocks": [f"{stack.blocks}.{index}" for index in range(blocks)],
        "width": stack.width,
        "dtype": str(dtype),
        "device": precision.device,
        "autocast": precision.autocast,
        "attention": getattr(owner.config, "_attn_implementation", None),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "config": json.loads(json.dumps(config, default=str)),
    }


def fingerprint(description: Mapping[str, object], tensors: Mapping[str, Tensor]) -> str:
    """A hash of the description and of every number in the tensors."""
    digest = blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16)
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        if values.numel():
            digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()
