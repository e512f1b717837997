"""The peak memory of a training step, predicted without the device: no weight is allocated and nothing is computed.

    python benchmarks/predicted_memory.py
    python benchmarks/predicted_memory.py --rows 1 --tokens 2048 hidden_size=4096 intermediate_size=14336
    python benchmarks/predicted_memory.py --model ~/models/llama --methods houlsby lora

The shape is that of `small_gpus.py`, a Llama of 1.2 billion parameters, or that of a model's configuration; other
values of its fields may follow. The step is that script's: a bfloat16 base, bfloat16 autocast, AdamW. It runs on fake
tensors, which have shapes and no values, and every storage is counted as long as it lives. What a device's kernels
take for themselves, and what its allocator loses between blocks, is not in it.
"""

from __future__ import annotations

import argparse
import copy
import json
import weakref
from collections.abc import Sequence

import torch
from peft import get_peft_model
from small_gpus import METHODS, SHAPE
from torch import Tensor, UntypedStorage, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from peft_bottleneck.head_loss import ChunkedLoss

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="DIR", help="a model, or its configuration, in place of the 1.2B Llama")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, "full"], default=[*METHODS, "full"])
    parser.add_argument("fields", metavar="FIELD=VALUE", nargs="*", help="of the model's configuration")
    given = parser.parse_args()
    shape = AutoConfig.from_pretrained(given.model) if given.model else copy.deepcopy(SHAPE)
    for field in given.fields:
        name, _, value = field.partition("=")
        setattr(shape, name, json.loads(value))
    print("| method | checkpointing | loss | MiB |\n| --- | --- | --- | --- |")
    for method in given.methods:
        for checkpointing in (False, True):
            for chunked in (False, True):
                peak = peak_bytes(shape, method, (given.rows, given.tokens), checkpointing, chunked)
                loss, words = "chunked" if chunked else "plain", "yes" if checkpointing else "no"
                print(f"| {method} | {words} | {loss} | {peak / MIB:,.0f} |", flush=True)


def peak_bytes(
    shape: PretrainedConfig, method: str, batch: tuple[int, int], checkpointing: bool, chunked: bool
) -> int:
    """What lives at most in the second of two steps, weights and all."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16)
        if method != "full":
            model = get_peft_model(model.requires_grad_(False), copy.deepcopy(METHODS[method]))
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if chunked:
        causal = model.get_base_model() if method != "full" else model
        EveryPosition(causal.get_output_embeddings(), causal.loss_function, 256).install(causal)
    model.train()
    with FakeTensorMode(), LiveMemory() as memory:
        _allocate(model)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], foreach=False)
        tokens = torch.zeros(batch, dtype=torch.long)
        for _ in range(2):
            memory.peak = memory.live
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            del loss
    return memory.peak


class EveryPosition(ChunkedLoss):
    """All positions have a target: which ones do is a matter of values, and fake tensors have none."""

    def with_target(self, hidden: Tensor, targets: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
        return hidden.flatten(0, -2), targets.flatten()


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of all storages that operations make, from their making to their end."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known: dict[int, weakref.finalize[[int, int], UntypedStorage]] = {}

    def __torch_dispatch__(
        self,
        function: OpOverload,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.known:
                    self.live += storage.nbytes()
                    self.peak = max(self.peak, self.live)
                    self.known[storage._cdata] = weakref.finalize(storage, self._end, storage._cdata, storage.nbytes())
        return result

    def _end(self, key: int, nbytes: int) -> None:
        del self.known[key]
        self.live -= nbytes


def _allocate(model: nn.Module) -> None:
    """Puts tensors of the mode in force into the places of those on the meta device; shared ones stay shared."""
    made: dict[Tensor, Tensor] = {}
    for module in model.modules():
        for own in (module._parameters, module._buffers):
            for name, tensor in own.items():
                if tensor is not None and tensor not in made:
                    made[tensor] = torch.empty(tensor.shape, dtype=tensor.dtype)
                    if isinstance(tensor, nn.Parameter):
                        made[tensor] = nn.Parameter(made[tensor], requires_grad=tensor.requires_grad)
                if tensor is not None:
                    own[name] = made[tensor]  # type: ignore[assignment]


if __name__ == "__main__":
    main()
