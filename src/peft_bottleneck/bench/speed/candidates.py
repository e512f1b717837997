"""Our methods and what they are compared with, all at the same sites and with bottlenecks of size d/16."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

REDUCTION = 16
MANY = 64  # adapters on one model
TRAIN = ("train",)
INFER = ("infer_short", "infer_one", "infer_batch")
HANDLING = ("inject", "switch", "load")


@dataclass(frozen=True)
class Candidate:
    """One row of the table.

    Args:
        name: as it is built; in AdapterHub's library too.
        quantities: what it is timed at.
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
    infer = (*INFER, "generate") if causal else INFER
    methods = ("houlsby", "pfeiffer", "parallel_adapter")
    rows = [Candidate("base", infer)]
    rows += [Candidate(f"floor of {method}", TRAIN, memory=method == "houlsby") for method in methods]
    rows += [Candidate(method, (*TRAIN, *infer, *HANDLING), f"floor of {method}", memory=True) for method in methods]
    rows += [
        Candidate("parallel_adapter, folded", infer),
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
        self.sites: Any = None

    def build(self, candidate: str, model: Any) -> Any:
        import peft

        if candidate == "base":
            return model.requires_grad_(False)
        if candidate == "full":
            return model
        if candidate.startswith("floor of "):
            return _floor(candidate.removeprefix("floor of "), model)
        name, _, variant = candidate.partition(", ")
        if name in ("lora", "ia3"):
            return peft.get_peft_model(model, self._at_our_sites(name, model), adapter_name="first")
        options: dict[str, Any] = {"foldable": True} if variant == "folded" else {}
        if variant == "upper half":
            depth = model.config.num_hidden_layers
            options["layers_to_transform"] = list(range(depth // 2, depth))
        adapted = peft.get_peft_model(model, _config(name, **options), adapter_name="first")
        if variant == "folded":
            return adapted.merge_and_unload()
        if variant == f"{MANY} loaded":
            for number in range(MANY - 1):
                adapted.add_adapter(f"other_{number}", _config(name))
        return adapted

    def add_second(self, candidate: str, model: Any) -> None:
        model.add_adapter("other", model.peft_config["first"])

    def switch(self, model: Any, adapter: str) -> None:
        model.set_adapter(adapter)

    def save(self, model: Any, folder: Path) -> None:
        model.save_pretrained(folder, selected_adapters=["first"])

    def load(self, model: Any, folder: Path) -> None:
        model.load_adapter(folder / "first", adapter_name="loaded")

    def forget(self, model: Any) -> None:
        model.delete_adapter("loaded")

    def _at_our_sites(self, name: str, model: Any) -> Any:
        """PEFT's method on the modules that a Houlsby adapter wraps, its rank the size of the bottlenecks."""
        import peft

        if self.sites is None:
            probe = peft.get_peft_model(model, _config("houlsby"))
            self.sites = probe.peft_config["default"].target_modules
            probe.unload()
        if name == "ia3":
            return peft.IA3Config(target_modules=self.sites, feedforward_modules=[])
        return peft.LoraConfig(target_modules=self.sites, r=max(1, model.config.hidden_size // REDUCTION))


def _config(method: str, **options: Any) -> Any:
    import peft_bottleneck as ours

    classes: dict[str, Any] = {
        "houlsby": ours.HoulsbyConfig,
        "pfeiffer": ours.PfeifferConfig,
        "parallel_adapter": ours.ParallelAdapterConfig,
    }
    return classes[method](reduction_factor=REDUCTION, **options)


def _floor(method: str, model: Any) -> Any:
    """The frozen base whose gradient flows back as far as a method needs it: to the first of its sites."""
    import peft

    from peft_bottleneck.layer import BottleneckLayer
    from peft_bottleneck.placement import around_norm

    adapted = peft.get_peft_model(model, _config(method))
    layer = next(module for module in adapted.modules() if isinstance(module, BottleneckLayer))
    placement, site = layer.placement, layer.block[0] or layer.base_layer
    adapted.unload()
    model.requires_grad_(False)
    if placement is around_norm:  # which adds to the norm's input
        site.register_forward_pre_hook(_open_input)
    else:
        site.register_forward_hook(_open_output)
    return model


def _open_input(module: Any, args: Any) -> None:
    args[0].requires_grad_()


def _open_output(module: Any, args: Any, output: Any) -> None:
    (output[0] if isinstance(output, tuple) else output).requires_grad_()
