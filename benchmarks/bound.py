"""The least that Houlsby adapters can add to a training step, and what they add, with many turns of few candidates.

    python benchmarks/bound.py --batch 16x128
    python benchmarks/bound.py --model HuggingFaceTB/SmolLM2-135M-Instruct --batch 4x128

Each of the two maps of a bottleneck takes part in three products: forward, gradient of the input, gradient of the
weight. They are computed alone, as bare calls of torch, once per site; then whole bottlenecks are, forward and
backward with autograd and nothing between them. Each takes turns with steps of the frozen floor, of the adapters as
bare calls (see `peft-bottleneck speed`), of the adapters and of LoRA.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from course import the_model, write
from torch import Tensor
from torch.nn import functional

from peft_bottleneck.bench.speed.candidates import Peft
from peft_bottleneck.bench.speed.rounds import alternate, paired_ratio
from peft_bottleneck.bench.speed.workbench.workload import Session, Setting
from peft_bottleneck.layer import BottleneckLayer

FLOOR = "floor of houlsby"
STEPS = (FLOOR, "houlsby", "houlsby, bare calls", "lora")


def main() -> None:
    base, (rows, tokens), repeats = the_model(__doc__)
    session = Session(Peft(), Setting(base.path, base.is_causal, rows, tokens, torch.get_num_threads()))
    for name in STEPS:
        session.prepare(name)
    layers = [module for module in session.models["houlsby"].modules() if isinstance(module, BottleneckLayer)]
    maps = [layer.bottlenecks["first"].maps for layer in layers]
    weights = [(site["down"].weight, site["down"].bias, site["up"].weight, site["up"].bias) for site in maps]
    shape = (rows, tokens, layers[0].in_features)
    turns: dict[str, Callable[[], float]] = {
        name: lambda name=name: session.seconds(name, "train")  # type: ignore[misc]
        for name in STEPS
    }
    turns["products alone"] = lambda: products(weights, torch.randn(shape))
    turns["bottlenecks alone"] = lambda: bottlenecks(weights, torch.randn(shape))
    seconds = alternate(turns, repeats)
    floor = seconds[FLOOR]
    write(
        f"bound_{base.identity['name'].replace('/', '--')}",
        model=base.identity["name"],
        batch=[rows, tokens],
        sites=len(layers),
        size=len(weights[0][0]),
        seconds=seconds,
        to_the_floor={name: paired_ratio(own, floor) for name, own in seconds.items() if name != FLOOR},
        to_bare_calls=paired_ratio(seconds["houlsby"], seconds["houlsby, bare calls"]),
    )


def products(weights: list[tuple[Tensor, ...]], x: Tensor) -> float:
    """Seconds of the six products at every site."""
    x = x.flatten(0, -2)
    gradient = torch.randn_like(x)
    with torch.inference_mode():
        start = time.perf_counter()
        for down, _, up, _ in weights:
            hidden = x @ down.t()
            hidden @ up.t()
            inner = gradient @ up
            gradient.t() @ hidden
            inner.t() @ x
            inner @ down
        return time.perf_counter() - start


def bottlenecks(weights: list[tuple[Tensor, ...]], x: Tensor) -> float:
    """Seconds of `x + B(x)`, one site after the other, forward and backward."""
    gradient = torch.randn_like(x)
    x.requires_grad_()
    start = time.perf_counter()
    y = x
    for down, down_bias, up, up_bias in weights:
        y = y + functional.linear(functional.silu(functional.linear(y, down, down_bias)), up, up_bias)
    y.backward(gradient)
    elapsed = time.perf_counter() - start
    for parameter in (parameter for site in weights for parameter in site):
        parameter.grad = None
    return elapsed


if __name__ == "__main__":
    main()
