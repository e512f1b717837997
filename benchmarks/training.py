"""Training steps of few candidates over many builds, for the targets that a run of all candidates is too coarse for.

    python benchmarks/training.py --batch 16x128 --repeats 25 --peer-python ~/adapterhub/bin/python
    python benchmarks/training.py --model HuggingFaceTB/SmolLM2-135M-Instruct --batch 4x128 --repeats 16 \\
        --peer-python ~/adapterhub/bin/python

Measured as by `peft-bottleneck speed`, with more steps of each build, beside the least that Houlsby adapters can take.
Each of the two maps of a bottleneck takes part in three products: forward, gradient of the input, gradient of the
weight. They are computed alone, as bare calls of torch, once per site; then whole bottlenecks are, forward and
backward with autograd and nothing between them.
"""

from __future__ import annotations

import time

import torch
from course import few, write
from torch import Tensor
from torch.nn import functional

from peft_bottleneck.layer import BottleneckLayer
from peft_bottleneck_bench.speed.candidates import MANY, TRAIN, Candidate, Peft
from peft_bottleneck_bench.workbench.workload import Session

FLOOR = "floor of houlsby"
PEERS = ("houlsby (adapterhub)", "pfeiffer (adapterhub)", "parallel_adapter (adapterhub)")
AT_ITS_SITES = (
    FLOOR,
    "houlsby, bare calls",
    "lora",
    "ia3",
    "full",
    f"{FLOOR}, upper half",
    "houlsby, upper half",
    f"houlsby, {MANY} loaded",
)
OTHERS = ("pfeiffer", "floor of pfeiffer", "parallel_adapter", "floor of parallel_adapter")
FEW = (*AT_ITS_SITES, "houlsby", *PEERS, *OTHERS)
STEPS = {"train": 3}  # of each build
PARTS = ("products alone", "bottlenecks alone")


class WithParts(Session):
    """Measures the bottlenecks of the Houlsby adapters outside their model, too."""

    def prepare(self, candidate: str) -> None:
        if candidate not in PARTS:
            super().prepare(candidate)

    def seconds(self, candidate: str, quantity: str) -> float:
        if candidate not in PARTS:
            return super().seconds(candidate, quantity)
        sites = [module for module in self.models["houlsby"].modules() if isinstance(module, BottleneckLayer)]
        maps = [layer.maps("first") for layer in sites]
        weights = [(site["down"].weight, site["down"].bias, site["up"].weight, site["up"].bias) for site in maps]
        x = torch.randn(self.setting.batch, self.setting.length, sites[0].in_features)
        return products(weights, x) if candidate == PARTS[0] else bottlenecks(weights, x)


def main() -> None:
    measurement = few(__doc__, FEW, *(Candidate(name, TRAIN, FLOOR) for name in PARTS))
    with measurement.hosts(WithParts(Peft(), measurement.setting)) as (hosts, peer_versions):
        times = list(measurement.over_builds(TRAIN, hosts, STEPS))
    name = f"training_{measurement.base.identity['name'].replace('/', '--')}"
    write(name, **{**measurement.frame(), "peer_versions": peer_versions, "times": times})


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
