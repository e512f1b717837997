"""Our methods and their references, all at the same sites and with bottlenecks of size d/16."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import torch
from peft import PeftConfig
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

import peft_bottleneck as ours
from peft_bottleneck.layer import BottleneckLayer
from peft_bottleneck.placement import around_norm

REDUCTION = 16
MANY = 64  # adapters on one model
TRAIN = ("train",)
INFER = ("infer_short", "infer_one", "infer_batch", "generate")
HANDLING = ("inject", "switch", "load")


@dataclass(frozen=True)
class Candidate:
    """One row of the table.

    Args:
        name: of the method, also in AdapterHub's library.
        quantities: those to time.
        reference: the candidate that its training time is compared with; inference is compared with `base`.
        library: `peft`, where our methods live as PEFT's own do, or `adapterhub`.
        memory: whether its training memory is measured.
    """

    name: str
    quantities: tuple[str, ...]
    reference: str | None = None
    library: str = "peft"
    memory: bool = False

    @property
    def label(self) -> str:
        return self.name if self.library == "peft" else f"{self.name} ({self.library})"


def candidates(*, causal: bool, peer: bool) -> list[Candidate]:
    """All candidates in the order of the table; generation is for causal models."""
    infer = INFER if causal else tuple(quantity for quantity in INFER if quantity != "generate")
    methods = ("houlsby", "pfeiffer", "parallel_adapter")
    rows = [Candidate("base", infer)]
    for method in methods:  # a method beside its floor, so that compared turns are close in time
        rows += [
            Candidate(f"floor of {method}", TRAIN, memory=method == "houlsby"),
            Candidate(method, (*TRAIN, *infer, *HANDLING), f"floor of {method}", memory=True),
        ]
    rows += [
        Candidate("parallel_adapter, folded", infer),
        Candidate("houlsby, bare calls", (*TRAIN, *infer), "floor of houlsby"),
        Candidate("floor of houlsby, upper half", TRAIN, "floor of houlsby"),
        Candidate("houlsby, upper half", TRAIN, "houlsby", memory=True),
        Candidate(f"houlsby, {MANY} loaded", (*TRAIN, *infer), "houlsby"),
        Candidate("lora", (*TRAIN, *infer, *HANDLING), "floor of houlsby", memory=True),
        Candidate("ia3", (*TRAIN, *infer, *HANDLING), "floor of houlsby", memory=True),
        Candidate("full", TRAIN, "floor of houlsby", memory=True),
    ]
    if peer:
        rows += [
            Candidate(method, (*TRAIN, *infer, *HANDLING), f"floor of {method}", "adapterhub", memory=True)
            for method in methods
        ]
    return rows


class Peft:
    """PEFT with our methods as a `workbench.workload.Library`."""

    def __init__(self) -> None:
        self.sites: str | None = None

    def build(self, candidate: str, model: PreTrainedModel) -> PreTrainedModel:
        if candidate == "base":
            return model.requires_grad_(False)
        if candidate == "full":
            return model
        name, _, variant = candidate.removeprefix("floor of ").partition(", ")
        options: dict[str, Any] = {"foldable": True} if variant == "folded" else {}
        if variant == "upper half":
            depth = model.config.num_hidden_layers
            options["layers_to_transform"] = list(range(depth // 2, depth))
        if candidate.startswith("floor of "):
            return _floor(model, _config(name, **options))
        if variant == "bare calls":
            return _bare(model, self._sites(model))
        if name in ("lora", "ia3"):
            return peft.get_peft_model(model, self._at_our_sites(name, model), adapter_name="first")
        adapted = peft.get_peft_model(model, _config(name, **options), adapter_name="first")
        if variant == "folded":
            return adapted.merge_and_unload()
        if variant == f"{MANY} loaded":
            for number in range(MANY - 1):
                adapted.add_adapter(f"other_{number}", _config(name))
        return adapted

    def add_second(self, candidate: str, model: PreTrainedModel) -> None:
        model.add_adapter("other", model.peft_config["first"])

    def switch(self, model: PreTrainedModel, adapter: str) -> None:
        model.set_adapter(adapter)

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        model.save_pretrained(folder, selected_adapters=["first"])

    def load(self, model: PreTrainedModel, folder: Path) -> None:
        model.load_adapter(folder / "first", adapter_name="loaded")

    def forget(self, model: PreTrainedModel) -> None:
        model.delete_adapter("loaded")

    def _at_our_sites(self, name: str, model: PreTrainedModel) -> object:
        """PEFT's method on the modules that a Houlsby adapter wraps, its rank the size of the bottlenecks."""
        sites = self._sites(model)
        if name == "ia3":
            return peft.IA3Config(target_modules=sites, feedforward_modules=[])
        return peft.LoraConfig(target_modules=sites, r=_size(model))

    def _sites(self, model: PreTrainedModel) -> str:
        """The pattern of the modules that a Houlsby adapter wraps, which is the same in every copy of the base."""
        if self.sites is None:
            probe = peft.get_peft_model(model, _config("houlsby"))
            self.sites = str(probe.peft_config["default"].target_modules)
            probe.unload()
        return self.sites


def _size(model: PreTrainedModel) -> int:
    return max(1, int(model.config.hidden_size) // REDUCTION)


def _config(method: str, **options: object) -> PeftConfig:
    classes: dict[str, Any] = {
        "houlsby": ours.HoulsbyConfig,
        "pfeiffer": ours.PfeifferConfig,
        "parallel_adapter": ours.ParallelAdapterConfig,
    }
    return classes[method](reduction_factor=REDUCTION, **options)


def _bare(model: PreTrainedModel, sites: str) -> PreTrainedModel:
    """Houlsby adapters as four calls of torch at each place and nothing else: the least that a library can take."""
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if re.fullmatch(sites, name):
            like: dict[str, Any] = {"device": model.device, "dtype": model.dtype}
            module.down = nn.Linear(model.config.hidden_size, _size(model), **like)
            module.up = nn.Linear(_size(model), model.config.hidden_size, **like)
            nn.init.zeros_(module.up.weight)
            module.forward = _with_bottleneck(module.forward, *module.down.parameters(), *module.up.parameters())
    return model


def _with_bottleneck(
    forward: Callable[[Tensor], Tensor], down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor
) -> Callable[[Tensor], Tensor]:
    def adapted(x: Tensor) -> Tensor:
        y = forward(x)
        delta = functional.linear(functional.silu(functional.linear(y, down, down_bias)), up, up_bias)
        return y + delta if torch.is_grad_enabled() else delta.add_(y)

    return adapted


def _floor(model: PreTrainedModel, config: object) -> object:
    """The frozen base whose gradient flows back as far as a method needs it: to the first of its sites."""
    adapted = peft.get_peft_model(model, config)
    layer = next(module for module in adapted.modules() if isinstance(module, BottleneckLayer))
    placement, site = layer.placement, layer.block or layer.base_layer
    adapted.unload()
    model.requires_grad_(False)
    if placement is around_norm:  # which adds to the norm's input
        site.register_forward_pre_hook(_open_input)
    else:
        site.register_forward_hook(_open_output)
    return model


def _open_input(module: nn.Module, args: tuple[Tensor, ...]) -> None:
    args[0].requires_grad_()


def _open_output(module: nn.Module, args: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
    (output[0] if isinstance(output, tuple) else output).requires_grad_()
