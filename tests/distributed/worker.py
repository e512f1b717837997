"""What two processes compute together, each on its half of a batch: run by `accelerate launch`, read by the tests.

Writes the trained parameters of each case, gathered whole, as `<folder>/<strategy>-<model>-<case>.pt`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import conftest  # noqa: F401  offline, one thread
import torch
from accelerate import Accelerator
from equations import METHODS, randomise, without_dropout
from peft import get_peft_model, get_peft_model_state_dict
from tiny_models import VOCABULARY, tiny_model
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM

from peft_bottleneck import ParallelAdapterConfig

MODELS = ("llama", "opt")  # a module for the FFN, and none: then its input is tapped
CASES: dict[str, Any] = METHODS | {"residual": lambda: ParallelAdapterConfig(parallel_input="residual")}
STRATEGIES = ("ddp", "ddp-reentrant", "ddp-nonreentrant", "ddp-compiled", "fsdp", "fsdp-nonreentrant", "fsdp-leaves")
BATCH = torch.randint(3, VOCABULARY, (4, 9), generator=torch.Generator().manual_seed(0))


def adapted(model_type: str, case: str, strategy: str = "") -> Any:
    base = tiny_model(model_type, AutoModelForCausalLM)
    model = without_dropout(randomise(get_peft_model(base, CASES[case]()))).train()
    if strategy.endswith("reentrant"):
        base.gradient_checkpointing_enable({"use_reentrant": not strategy.endswith("nonreentrant")})
        base.enable_input_require_grads()
    return model


def train(model: nn.Module, batch: Tensor) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model(input_ids=batch, labels=batch, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def shard(model: Any, *, leaves: bool) -> None:
    """FSDP2: every block by itself, then what is left; with `leaves` the maps of the adapters by themselves too."""
    mesh = init_device_mesh("cpu", (2,))
    if leaves:
        for module in model.modules():
            if isinstance(module, nn.Linear) and module.weight.requires_grad:
                fully_shard(module, mesh=mesh)
    for block in next(module for module in model.modules() if isinstance(module, nn.ModuleList)):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for name, parameter in model.named_parameters():
        assert parameter.to_local().numel() < parameter.numel() or parameter.numel() == 1, f"{name} is not sharded"


def main(folder: Path, strategies: list[str]) -> None:
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    own = BATCH[2 * accelerator.process_index :][:2]
    for strategy in strategies:
        for model_type in MODELS:
            for case in CASES:
                torch._dynamo.reset()
                model = adapted(model_type, case, strategy)
                if strategy.startswith("fsdp"):
                    shard(model, leaves=strategy == "fsdp-leaves")
                    train(model, own)
                    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
                    whole = get_model_state_dict(model, options=options)
                else:
                    prepared = accelerator.prepare(model)
                    if strategy == "ddp-compiled":
                        prepared = torch.compile(prepared, backend="aot_eager")
                    train(prepared, own)
                    whole = model.state_dict()
                if accelerator.is_main_process:
                    state = get_peft_model_state_dict(model, state_dict=whole)
                    torch.save(state, folder / f"{strategy}-{model_type}-{case}.pt")
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
