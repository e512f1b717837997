"""What a training step takes on a GPU with the base in bfloat16, 8 bits and 4 bits, with and without checkpointing.

    python benchmarks/small_gpus.py
    python benchmarks/small_gpus.py --rows 4 --tokens 512 --steps 20

The model has the shape of a Llama of 1.2 billion parameters and random weights, on which neither time nor memory
depends. Bottlenecks have d/16 channels; LoRA, of rank d/16, is on the modules that Houlsby adapters wrap. Steps run
under bfloat16 autocast with AdamW, as `Trainer(bf16=True)` does. The methods take turns; memory is what PyTorch's
allocator counts: `held`, the base with its adapter, and `added`, what the steps come to above that.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from sharing import RECORD, write
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck.quantization import prepare_for_training, quantization_config
from peft_bottleneck_bench.quiet import quiet, quiet_bars
from peft_bottleneck_bench.speed.rounds import alternate, paired_ratio, summary
from peft_bottleneck_bench.workbench.memory import PeakMemory
from peft_bottleneck_bench.workbench.workload import STEPS_FOR_MEMORY

SHAPE = LlamaConfig(
    vocab_size=128256,
    hidden_size=2048,
    intermediate_size=8192,
    num_hidden_layers=16,
    num_attention_heads=32,
    num_key_value_heads=8,
    max_position_embeddings=4096,
    tie_word_embeddings=True,
)
REDUCTION = 16
BASES = (None, "8bit", "4bit")
METHODS: dict[str, PeftConfig] = {
    "houlsby": HoulsbyConfig(reduction_factor=REDUCTION),
    "pfeiffer": PfeifferConfig(reduction_factor=REDUCTION),
    "parallel_adapter": ParallelAdapterConfig(reduction_factor=REDUCTION),
    "lora": LoraConfig(target_modules=["o_proj", "down_proj"], r=SHAPE.hidden_size // REDUCTION),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument(RECORD, action="store_true", help="replace the committed record")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("small_gpus.py needs a CUDA device")
    quiet()
    quiet_bars()
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        with torch.device("cuda"):
            AutoModelForCausalLM.from_config(SHAPE, dtype=torch.bfloat16).save_pretrained(folder)
        for base in BASES:
            for checkpointing in (False, True):
                entries += _entries(folder, base, checkpointing, (given.rows, given.tokens), given.steps)
    write("small_gpus", batch=[given.rows, given.tokens], repeats=given.steps, entries=entries)


def _entries(
    folder: str, base: str | None, checkpointing: bool, batch: tuple[int, int], steps: int
) -> list[dict[str, object]]:
    """One entry per method, `full` fine-tuning among them where the base can be trained."""
    turns, memory = {}, {}
    for method in (*METHODS, *([] if base else ["full"])):
        print(f"{base or 'bfloat16'}, {checkpointing=}: {method}", file=sys.stderr)
        gc.collect()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        model = _model(folder, base, checkpointing, method)
        held = torch.cuda.memory_allocated() - before
        turns[method] = step = _Step(model, batch)
        with PeakMemory() as peak:
            for _ in range(STEPS_FOR_MEMORY):
                step()
        memory[method] = {"held_bytes": held, "added_bytes": peak.added}
    seconds = alternate(turns, steps)
    return [
        {
            "base": base or "bfloat16",
            "checkpointing": checkpointing,
            "method": method,
            **memory[method],
            "seconds": own,
            **summary(own),
            "to_lora": paired_ratio(own, seconds["lora"]),
        }
        for method, own in seconds.items()
    ]


def _model(folder: str, base: str | None, checkpointing: bool, method: str) -> PreTrainedModel | PeftModel:
    quantization = quantization_config(base, folder, AutoModelForCausalLM) if base else None
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=quantization, device_map={"": 0}
    )
    if base:
        model = prepare_for_training(model, gradient_checkpointing=False)
    if method != "full":
        model = get_peft_model(model, METHODS[method])
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


class _Step:
    """A training step of a model; calling it gives its seconds."""

    def __init__(self, model: PreTrainedModel | PeftModel, batch: tuple[int, int]) -> None:
        self.model = model
        self.tokens = torch.randint(0, SHAPE.vocab_size, batch, device="cuda")
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)

    def __call__(self) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = self.model(input_ids=self.tokens, labels=self.tokens, use_cache=False).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        torch.cuda.synchronize()
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
