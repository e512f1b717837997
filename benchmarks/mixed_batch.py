"""What a batch of many adapters costs: one adapter for all rows against `adapter_names=[…]`, taking turns in one run.

    python benchmarks/mixed_batch.py [--rows 64] [--adapters 8 64] [--tokens 1 8 32] [--turns 15] [--record]
    python benchmarks/mixed_batch.py --generation ~/models/smollm2 [--rows 64] [--turns 15] [--record]

The model is the embedded encoder with Houlsby adapters. A figure is one adapter's time over that of the mixed batch:
1 is as fast. `--record` writes `benchmarks/speed/mixed_batch.json`.

`--generation` takes a causal language model and measures one step of generation, a token for each row after a few in
the cache: with one adapter for all rows, and with an adapter for each. Beside it is the time that it takes to read the
weights of the base and of all adapters from memory once, at the bandwidth that the same run measures.
`--record` writes `benchmarks/speed/mixed_generation.json`.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable

import torch
from peft import PeftModel, get_peft_model
from sharing import RECORD, minilm, quartiles, seconds, write
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, DynamicCache

from peft_bottleneck import HoulsbyConfig
from peft_bottleneck.convolution import cache_name

LENGTH = 16  # tokens in the cache before a step of generation
LARGE = 2**28  # numbers of a tensor that no cache of a processor holds


def build(adapters: int, base: nn.Module | None = None) -> PeftModel:
    """The encoder, or another base, with this many adapters, none of them a no-op."""
    base = base or AutoModel.from_pretrained(minilm())
    config = HoulsbyConfig(init_weights=False)
    model = get_peft_model(base, config, adapter_name="0")
    for number in range(1, adapters):
        model.add_adapter(str(number), config)
    return model.eval()


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
    return {str(count): quartiles(values) for count, values in ratios.items()}


def measure_generation(folder: str, rows: int, turns: int) -> dict[str, object]:
    """Seconds of a step with one adapter and with one for each row, and of reading the weights."""
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    base_bytes = sum(parameter.nbytes for parameter in base.parameters())
    model = build(rows, base)
    adapter_bytes = sum(parameter.nbytes for name, parameter in model.named_parameters() if "houlsby" in name)
    ids = torch.randint(5, 1000, (rows, LENGTH))
    cached = str(cache_name(type(base)))  # transformers has renamed it
    names = {"one": ["0"] * rows, "mixed": [str(row) for row in random.Random(0).sample(range(rows), rows)]}
    found: dict[str, list[float]] = {"one": [], "mixed": [], "read": []}
    source, target = torch.ones(LARGE), torch.empty(LARGE)
    with torch.inference_mode():
        for turn in range(-2, turns):
            for which, own in names.items():
                # one adapter for all rows is how a model is called by whoever has one
                given = {} if which == "one" else {"adapter_names": own}
                cache = DynamicCache(config=base.config)
                model(input_ids=ids, **{cached: cache}, logits_to_keep=1, **given)
                step = seconds(
                    lambda cache=cache, given=given: model(input_ids=ids[:, :1], **{cached: cache}, **given)  # type: ignore[misc]
                )
                if turn >= 0:
                    found[which].append(step)
            # the better of two ways to go through memory: reading it, or reading and writing it
            reading = min(seconds(source.sum), seconds(lambda: target.copy_(source)) / 2)
            if turn >= 0:
                found["read"].append(reading / source.nbytes)
    per_byte = statistics.median(found.pop("read"))
    bound = {"one": per_byte * (base_bytes + adapter_bytes / rows), "mixed": per_byte * (base_bytes + adapter_bytes)}
    taken = {which: quartiles(values) for which, values in found.items()}
    added = [(mixed - one) / (bound["mixed"] - bound["one"]) for one, mixed in zip(*found.values(), strict=True)]
    result = {
        "base_bytes": base_bytes,
        "adapter_bytes": adapter_bytes,
        "bytes_per_second": 1 / per_byte,
        "seconds": taken,
        "seconds_to_read": bound,
        "to_bound": {which: quartiles([value / bound[which] for value in found[which]]) for which in found},
        "added_to_reading_the_adapters": quartiles(added),
    }
    for which, own in taken.items():
        print(
            f"{which}: {1000 * own['median']:.0f} ms a token for {rows} rows ({1000 * own['low']:.0f} to "
            f"{1000 * own['high']:.0f}); reading its weights takes {1000 * bound[which]:.0f} ms"
        )
    print(f"weights: base {base_bytes / 1e6:.0f} MB, {rows} adapters {adapter_bytes / 1e6:.0f} MB")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure batches of many adapters.")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--adapters", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--generation", metavar="DIR", help="a causal language model")
    parser.add_argument(RECORD, action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.generation:
        generation = measure_generation(arguments.generation, arguments.rows, arguments.turns)
        write("mixed_generation", rows=arguments.rows, threads=arguments.threads, **generation)
        return
    found = {}
    for tokens in arguments.tokens:
        found[str(tokens)] = measure(arguments.rows, arguments.adapters, tokens, arguments.turns)
        for count, ratio in found[str(tokens)].items():
            print(
                f"{tokens:4d} tokens a row, {count:>4} adapters: {ratio['median']:.2f} of one adapter's throughput "
                f"({ratio['low']:.2f} to {ratio['high']:.2f})"
            )
    write("mixed_batch", rows=arguments.rows, threads=arguments.threads, ratios=found)


if __name__ == "__main__":
    main()
