"""The peak memory of a training step, predicted without the device: no weight is allocated and nothing is computed.

    python benchmarks/predicted_memory.py
    python benchmarks/predicted_memory.py --rows 1 --tokens 2048 hidden_size=4096 intermediate_size=14336
    python benchmarks/predicted_memory.py --model ~/models/llama --methods houlsby lora --bits 4bit

The shape is that of `small_gpus.py`, a Llama of 1.2 billion parameters, or that of a model's configuration; other
values of its fields may follow. The step is that script's: a bfloat16 base or one of 8 or 4 bits, bfloat16 autocast,
AdamW. How it is predicted: `peft_bottleneck_bench.workbench.fake_memory`.
"""

from __future__ import annotations

import argparse
import copy
import json
import warnings
from itertools import product

import torch
from peft import get_peft_model
from small_gpus import BASES, METHODS, SHAPE
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from peft_bottleneck.head_loss import ChunkedLoss
from peft_bottleneck.quantization import outside_the_blocks
from peft_bottleneck_bench.workbench import fake_memory

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="DIR", help="a model, or its configuration, in place of the 1.2B Llama")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, "full"], default=[*METHODS, "full"])
    bases = [base or "bfloat16" for base in BASES]
    parser.add_argument("--bits", nargs="+", choices=bases, default=bases, help="of the base")
    parser.add_argument("fields", metavar="FIELD=VALUE", nargs="*", help="of the model's configuration")
    given = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    shape = AutoConfig.from_pretrained(given.model) if given.model else copy.deepcopy(SHAPE)
    for field in given.fields:
        name, _, value = field.partition("=")
        setattr(shape, name, json.loads(value))
    print("| method | base | checkpointing | loss | MiB |\n| --- | --- | --- | --- | --- |")
    for method, base, checkpointing, chunked in product(given.methods, given.bits, (False, True), (False, True)):
        if method == "full" and base != "bfloat16":
            continue
        peak = peak_bytes(shape, method, (given.rows, given.tokens), checkpointing, chunked, base)
        loss, words = "chunked" if chunked else "plain", "yes" if checkpointing else "no"
        print(f"| {method} | {base} | {words} | {loss} | {peak / MIB:,.0f} |", flush=True)


def peak_bytes(
    shape: PretrainedConfig,
    method: str,
    batch: tuple[int, int],
    checkpointing: bool,
    chunked: bool,
    base: str = "bfloat16",
    *,
    float32_around: bool = False,
) -> int:
    """What lives at most in a step, weights and all.

    Args:
        base: `bfloat16`, `8bit` or `4bit`.
        float32_around: whether what is not quantised is brought to float32, as PEFT's preparation does.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16)
        if base != "bfloat16":
            fake_memory.quantise(model, base, outside_the_blocks(model), torch.bfloat16)
        if float32_around:
            for parameter in model.parameters():
                if parameter.is_floating_point():
                    parameter.data = parameter.data.float()
        if method != "full":
            model = get_peft_model(model.requires_grad_(False), copy.deepcopy(METHODS[method]))
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if chunked:
        causal = model.get_base_model() if method != "full" else model
        EveryPosition(causal.get_output_embeddings(), causal.loss_function, 256).install(causal)
    tokens = torch.zeros(batch, dtype=torch.long)
    inputs = {"input_ids": tokens, "labels": tokens, "use_cache": False}
    return fake_memory.peak_bytes(model, inputs, precision="bf16")


class EveryPosition(ChunkedLoss):
    """All positions have a target: which ones do is a matter of values, and fake tensors have none."""

    def with_target(self, hidden: Tensor, targets: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
        return hidden.flatten(0, -2), targets.flatten()


if __name__ == "__main__":
    main()
