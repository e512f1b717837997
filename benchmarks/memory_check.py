"""Predicted peaks of training steps beside measured ones, in the host memory of fresh processes.

    python benchmarks/memory_check.py [--model DIR] [--methods houlsby lora] [--rows 32] [--tokens 128] [--record]

The model is the embedded encoder with two classes, or a model directory; decoders compute their own loss. Measured is
what two steps with AdamW add to the resident memory of a process, model included (`PeakMemory`, on an accelerator what
its allocator counts); a small first step has loaded the libraries. glibc keeps freed blocks of up to 32 MiB in its
heap, which can come to half as much again; the measuring processes have it give them back (`MALLOC_MMAP_THRESHOLD_`).
`--record` writes `benchmarks/speed/memory_check.json`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from sharing import RECORD, minilm, write
from small_gpus import METHODS
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from peft_bottleneck_bench.workbench.fake_memory import peak_bytes
from peft_bottleneck_bench.workbench.memory import PeakMemory

MIB = 2**20
STEPS = 2  # from the second on, AdamW has its state
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "262144"}  # bytes from which glibc maps a block by itself


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=minilm())
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, "full"], default=["houlsby", "lora", "full"])
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--only", choices=("fp32", "bf16"), nargs="+", default=["fp32", "bf16"])
    parser.add_argument(RECORD, action="store_true")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)  # in a process of its own
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    batch = (given.rows, given.tokens)
    if given.measure:
        method, precision, again = given.measure
        print(measured(given.model, method, precision, again == "yes", batch))
        return
    print("| method | precision | checkpointing | predicted MiB | measured MiB | predicted / measured |")
    print("| --- | --- | --- | --- | --- | --- |")
    entries: list[dict[str, object]] = []
    for method in given.methods:
        for precision in given.only:
            for again in ("no", "yes"):
                expected = predicted(given.model, method, precision, again == "yes", batch)
                found = measured_elsewhere(given.model, method, precision, again == "yes", batch)
                cells = f"{method} | {precision} | {again} | {expected / MIB:,.0f} | {found / MIB:,.0f}"
                print(f"| {cells} | {expected / found:.2f} |", flush=True)
                names = ("method", "precision", "checkpointing", "predicted_bytes", "measured_bytes")
                entries.append(dict(zip(names, (method, precision, again == "yes", expected, found), strict=True)))
    write("memory_check", model=Path(given.model).name, batch=list(batch), entries=entries)


def predicted(folder: str, method: str, precision: str, checkpointing: bool, batch: tuple[int, int]) -> int:
    with torch.device("meta"):
        model = trainable(loader(folder).from_config(AutoConfig.from_pretrained(folder)), method, checkpointing)
    return peak_bytes(model, inputs(folder, batch), precision=precision)


def measured_elsewhere(folder: str, method: str, precision: str, checkpointing: bool, batch: tuple[int, int]) -> int:
    """What `measured` finds in a process of its own."""
    again = "yes" if checkpointing else "no"
    command = [sys.executable, __file__, "--model", folder, "--measure", method, precision, again]
    command += ["--rows", str(batch[0]), "--tokens", str(batch[1])]
    environment = {**os.environ, **GIVE_BACK}
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def measured(folder: str, method: str, precision: str, checkpointing: bool, batch: tuple[int, int]) -> int:
    """What steps add to the memory of this process."""
    small = AutoConfig.from_pretrained(folder)
    small.num_hidden_layers = 1
    for _ in range(2):  # whatever the libraries keep for themselves
        steps(trainable(loader(folder).from_config(small), method, checkpointing), inputs(folder, (2, 8)), precision)
    with PeakMemory() as peak:
        config = AutoConfig.from_pretrained(folder)
        model = trainable(loader(folder).from_config(config), method, checkpointing)
        steps(model, inputs(folder, batch), precision)
    return peak.added


def loader(folder: str) -> Any:
    causal = AutoConfig.from_pretrained(folder).model_type != "bert"
    return AutoModelForCausalLM if causal else AutoModelForSequenceClassification


def trainable(model: Any, method: str, checkpointing: bool) -> Any:
    if method != "full":
        config = METHODS[method]
        if method == "lora" and model.config.model_type == "bert":
            config = type(config)(target_modules=["query", "value"], r=8)
        model = get_peft_model(model.requires_grad_(False), config)
    if checkpointing:
        with warnings.catch_warnings():  # newer transformers have another name for it
            warnings.simplefilter("ignore", FutureWarning)
            model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def inputs(folder: str, batch: tuple[int, int]) -> dict[str, object]:
    tokens = torch.randint(5, 1000, batch)
    if loader(folder) is AutoModelForCausalLM:
        return {"input_ids": tokens, "labels": tokens, "use_cache": False}
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": tokens[:, 0] % 2}


def steps(model: Any, batch: dict[str, object], precision: str) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], foreach=False)
    for _ in range(STEPS):
        with torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16" else nullcontext():
            loss = model.train()(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    main()
