"""The least that Houlsby adapters can add to a training step, and what they add, with many turns of few candidates.

    python benchmarks/bound.py --batch 16x128 --repeats 25
    python benchmarks/bound.py --model HuggingFaceTB/SmolLM2-135M-Instruct --batch 4x128 --repeats 10

Each of the two maps of a bottleneck takes part in three products: forward, gradient of the input, gradient of the
weight. They are computed alone, as bare calls of torch, once per site; then whole bottlenecks are, forward and
backward with autograd and nothing between them. Each takes turns with steps of the frozen floor, of the adapters as
bare calls (see `peft-bottleneck speed`), of the adapters and of LoRA. Every repetition builds the models anew, in
another order, since where a model happens to lie in memory makes its steps faster or slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from random import Random

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
TURNS = 2  # of each build


def main() -> None:
    base, (rows, tokens), repeats = the_model(__doc__)
    session = Session(Peft(), Setting(base.path, base.is_causal, rows, tokens, torch.get_num_threads()))
    order, shuffle = list(STEPS), Random(0).shuffle
    seconds: dict[str, list[float]] = {}
    sites: list[BottleneckLayer] = []
    for repetition in range(repeats):
        sites.clear()
        session.release()
        shuffle(order)
        for name in order:
            session.prepare(name)
        sites += [module for module in session.models["houlsby"].modules() if isinstance(module, BottleneckLayer)]
        for name, new in alternate(_turns(session, sites, (rows, tokens)), TURNS, start=repetition).items():
            seconds.setdefault(name, []).extend(new)
    floor = seconds[FLOOR]
    write(
        f"bound_{base.identity['name'].replace('/', '--')}",
        model=base.identity["name"],
        batch=[rows, tokens],
        sites=len(sites),
        size=sites[0].bottlenecks["first"].maps["down"].out_features,
        repeats=repeats,
        turns_per_repetition=TURNS,
        seconds=seconds,
        to_the_floor={name: paired_ratio(own, floor, TURNS) for name, own in seconds.items() if name != FLOOR},
        to_bare_calls=paired_ratio(seconds["houlsby"], seconds["houlsby, bare calls"], TURNS),
    )


def _turns(session: Session, sites: list[BottleneckLayer], batch: tuple[int, int]) -> dict[str, Callable[[], float]]:
    maps = [layer.bottlenecks["first"].maps for layer in sites]
    weights = [(site["down"].weight, site["down"].bias, site["up"].weight, site["up"].bias) for site in maps]
    shape = (*batch, sites[0].in_features)
    return {
        **{name: partial(session.seconds, name, "train") for name in STEPS},
        "products alone": lambda: products(weights, torch.randn(shape)),
        "bottlenecks alone": lambda: bottlenecks(weights, torch.randn(shape)),
    }


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
