"""The tuner layer of invertible adapters: it wraps the end of the embeddings, and maps the LM head's input back."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .bottleneck import activation, reset_parameters
from .config import BottleneckConfig
from .coupling import PARTS, Coupling, build_nets
from .embeddings import channels, output_embeddings
from .hooks import remove_hooks
from .registration import check_adapters_to_merge
from .tuner_layer import TunerLayer, device_and_dtype


class CouplingLayer(TunerLayer):
    """`C(f(x))` after the end `f` of the embeddings, and `g(C⁻¹(y))` before the output embeddings `g`.

    Several active adapters apply in their order, and their inverses in the opposite one.

    Args:
        base_layer: the module that ends the embeddings.
        prefix: that of the method's weights.
        model: the whole model.
    """

    def __init__(self, base_layer: nn.Module, prefix: str, model: nn.Module) -> None:
        super().__init__(base_layer)
        self.prefix = prefix
        self.adapter_layer_names = tuple(prefix + name for name in PARTS)
        self.other_param_names = ("couplings",)
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ModuleDict())
        self.couplings: dict[str, Coupling] = {}
        self.before_output = BeforeOutput(model, self)
        self.own_attributes = frozenset(vars(self))

    def update_layer(self, adapter_name: str, config: BottleneckConfig) -> None:
        """Adds a coupling, on the device and in the type of the embeddings."""
        assert config.invertible is not None
        model: PreTrainedModel = self.before_output.model
        features = channels(model, self.base_layer)
        maps = build_nets(config.invertible, features, config.invertible_reduction_factor)
        for net in ("f", "g"):
            parts = {name: maps[f"{net}_{name}"] for name in ("down", "up")}
            reset_parameters(parts, method=config.init_method, no_op=config.init_weights)
        has_parameters = next(self.base_layer.parameters(), None) is not None  # a dropout has none
        device, dtype = device_and_dtype(self.base_layer if has_parameters else model.get_input_embeddings())
        for name, part in maps.items():
            on_meta = part.weight.device.type == "meta"  # weights to be loaded: `low_cpu_mem_usage`
            self._part(name)[adapter_name] = part if on_meta else part.to(device=device, dtype=dtype)
        self.couplings[adapter_name] = Coupling(config.invertible, activation(config.non_linearity))
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def inverse(self, y: Tensor) -> Tensor:
        """The input of the output embeddings, `[…, d]`, mapped back by the active adapters."""
        return self._through(y, lambda coupling, rows, parts: coupling.inverse(rows, parts), reversed)

    def holds(self, adapter: str) -> bool:
        return adapter in self.couplings

    def merge_problem(self, adapter: str) -> str | None:
        """An invertible adapter is no part of any weight of the base model."""
        return "no weights of the base model compute what the invertible adapter does. unload() removes it"

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Nothing to do for adapters without a coupling.

        Raises:
            NotImplementedError: an adapter has one.
        """
        for name in check_adapters_to_merge(self, adapter_names):
            if self.holds(name):
                raise NotImplementedError(f"Adapter {name!r} cannot be merged: {self.merge_problem(name)}.")

    def unmerge(self) -> None:
        """Does nothing: there is nothing to unmerge."""

    def release(self) -> None:
        super().release()
        self.before_output.remove()

    def parts(self, adapter: str) -> dict[str, Any]:
        """The maps of one adapter's coupling by name."""
        return {name: self._part(name)[adapter] for name in PARTS}

    def forward(self, *args: object, **kwargs: object) -> Any:
        self.was_called = True
        output = self.base_layer(*args, **kwargs)
        if isinstance(output, tuple):
            return self._map(output[0]), *output[1:]
        return self._map(output)

    def _map(self, x: Tensor) -> Tensor:
        return self._through(x, lambda coupling, rows, parts: coupling.forward(rows, parts), list)

    def _through(
        self, x: Tensor, compute: Callable[[Coupling, Tensor, Any], Tensor], order: Callable[[list[str]], Any]
    ) -> Tensor:
        if self.disable_adapters:
            return x
        if self.rows is None:
            for adapter in order([name for name in self.active_adapters if name in self.couplings]):
                x = compute(self.couplings[adapter], x, self.parts(adapter))
            return x
        rows = self.rows.repeated(len(x))
        for adapter in self.couplings.keys() & set(rows.names):
            own = torch.tensor(rows.of(adapter), device=x.device)
            x = x.index_copy(0, own, compute(self.couplings[adapter], x[own], self.parts(adapter)))
        return x


class BeforeOutput:
    """Passes the input of a language model's output embeddings through `layer.inverse`.

    PEFT copies modules that it trains in full (`modules_to_save`), their hooks with them: in a copy of the output
    embeddings, or of what contains them, this hook is the same as in the original. In a copy of the whole model it
    leads to the layer in the copy.
    """

    def __init__(self, model: nn.Module, layer: CouplingLayer) -> None:
        self.model = model
        self.layer = layer
        for module in output_embeddings(model):
            module.register_forward_pre_hook(self.map_back)

    def map_back(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The hook."""
        if getattr(module, "_is_replica", False):
            raise RuntimeError(
                "An invertible adapter does not work under nn.DataParallel; start one process per device instead: "
                "`accelerate launch`, or `torchrun`."
            )
        return self.layer.inverse(args[0]), *args[1:]

    def remove(self) -> None:
        """Takes the hook away again, from copies too."""
        for module in self.model.modules():
            remove_hooks(module._forward_pre_hooks, self)

    def __deepcopy__(self, memo: dict[int, Any]) -> BeforeOutput:
        if id(self.model) not in memo:
            return self
        copied = BeforeOutput.__new__(BeforeOutput)
        memo[id(self)] = copied
        copied.model = memo[id(self.model)]
        copied.layer = deepcopy(self.layer, memo)
        return copied
