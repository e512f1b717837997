"""The tuner layer: the bottlenecks of several named adapters on one module of the base model.

A placement says what the module computes with them. With `f` the module, `x` its input and `B` a bottleneck:

=============  ====================  ==========================================================================
placement      output                sites
=============  ====================  ==========================================================================
`after`        `y + B(y), y = f(x)`  Houlsby: projections of attention and FFN; Pfeiffer, pre-LN: the block
`around_norm`  `f(x + B(f(x)))`      Pfeiffer, post-LN: the FFN's LayerNorm, `x` the sum that enters it
`beside`       `f(x) + B(x)`         parallel: the FFN
=============  ====================  ==========================================================================

Several active adapters are applied in their order: `after` and `around_norm` stack them (each reads what the one
before wrote), `beside` adds them up.

Two sites do not fit one module, and reach further by hooks: an FFN that has no module of its own, whose input is
tapped where it is read (`InputTap`), and a block's output, which is adapted inside the block's own call so that what
transformers records as hidden states, and what gradient checkpointing recomputes, include the adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .bottleneck import Activation, activation, bottleneck, build_maps, draw_maps
from .config import BottleneckConfig
from .registration import BaseTunerLayer

MAPS = ("down", "gate", "up")
BASE = "__base__"  # PEFT's name for "no adapter" in `adapter_names`

Turn = str | Sequence[str]  # one adapter for the whole batch, or one for each of its rows
Placement = Callable[..., Any]


@dataclass(frozen=True)
class Settings:
    """What a forward pass needs of an adapter's configuration."""

    phi: Activation
    dropout: float
    scale: float | None  # None: a trained parameter
    gated: bool
    read: str | None  # the tapped module whose input the bottleneck reads; None: the wrapped module's own


class InputTap:
    """Hands the input of one module, the read point, to a later one, the write point.

    A forward pre-hook of the read point holds the tensor, the write point takes it. Nothing is held after the write.
    Both lie in the same block, so recomputation (gradient checkpointing) meets them in the same order again. Tensors
    are held by device, since the replicas of `nn.DataParallel` share this object.
    """

    def __init__(self, name: str, read_point: nn.Module) -> None:
        self.name = name
        self.read_point = read_point
        self.held: dict[torch.device, Tensor] = {}
        read_point.register_forward_pre_hook(self.hold)

    def hold(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.held[args[0].device] = args[0]

    def take(self, device: torch.device) -> Tensor:
        if device in self.held:
            return self.held.pop(device)
        if not self.held:
            raise RuntimeError(f"{self.name} has not run before the module that adds the parallel adapter's output.")
        return self.held.popitem()[1]  # offloading moved the activations in between

    def remove(self) -> None:
        _remove_hooks(self.read_point._forward_pre_hooks, self)


class BottleneckLayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """Wraps `base_layer`; the weights of adapter `a` are `<prefix>down.a`, `<prefix>up.a`, …, as PEFT loads them.

    Args:
        base_layer: the wrapped module.
        features: channels that a bottleneck reads and writes, `(d_in, d_out)`.
        placement: `after`, `around_norm`, `beside`, or `in_block` together with `block`.
        block: the block whose output is adapted; it contains `base_layer`.
    """

    prefix: ClassVar[str]

    def __init__(
        self, base_layer: nn.Module, features: tuple[int, int], placement: Placement, block: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = features
        self.placement = placement
        self.settings: dict[str, Settings] = {}
        self.taps: dict[str, InputTap] = {}
        self.row_adapters: Sequence[str] | None = None  # set while a call with `adapter_names` runs
        for name in MAPS:
            setattr(self, self.prefix + name, nn.ModuleDict())
        setattr(self, self.prefix + "scaling", nn.ParameterDict())
        self.merged_adapters: list[str] = []
        # Not as an attribute that nn.Module would register: the block contains this layer.
        self.block = (block,)
        if block is not None:
            block.register_forward_hook(self._adapt_block, prepend=True)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not hasattr(cls, "prefix"):
            return  # not yet a method's
        cls.adapter_layer_names = tuple(cls.prefix + name for name in (*MAPS, "scaling"))
        cls.other_param_names = ("settings",)

    def update_layer(
        self, adapter_name: str, size: int, config: BottleneckConfig, tap: tuple[str, nn.Module] | None = None
    ) -> None:
        """Adds a bottleneck of this size, on the device and in the type of the base layer; `tap` is a read point."""
        maps = build_maps(config.bottleneck, self.in_features, size, self.out_features, bias=config.use_bias)
        draw_maps(maps, method=config.init_method, no_op=config.init_weights)
        device, dtype = _device_and_dtype(self.base_layer)
        for name, linear in maps.items():
            on_meta = linear.weight.device.type == "meta"  # weights to be loaded: `low_cpu_mem_usage`
            self._part(name)[adapter_name] = linear if on_meta else linear.to(device=device, dtype=dtype)
        if isinstance(config.scaling, str):
            ones = torch.ones(self.out_features if config.scaling == "channel" else 1)
            scale = ones if ones.device.type == "meta" else ones.to(device=device, dtype=dtype)
            self._part("scaling")[adapter_name] = nn.Parameter(scale)
        if tap is not None and tap[0] not in self.taps:
            self.taps[tap[0]] = InputTap(*tap)
        self.settings[adapter_name] = Settings(
            phi=activation(config.non_linearity),
            dropout=config.dropout,
            scale=None if isinstance(config.scaling, str) else float(config.scaling),
            gated=config.bottleneck == "gated",
            read=tap[0] if tap is not None else None,
        )
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def delete_adapter(self, adapter_name: str) -> None:
        super().delete_adapter(adapter_name)
        read = {settings.read for settings in self.settings.values()}
        for name in [name for name in self.taps if name not in read]:
            self.taps.pop(name).remove()

    def release(self) -> None:
        """Takes back the hooks on other modules, before the base layer gets its place back."""
        while self.taps:
            self.taps.popitem()[1].remove()
        block = self.block[0]
        if block is not None:
            _remove_hooks(block._forward_hooks, self)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Only parallel adapters can be folded into the base model.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{self.prefix.strip('_').capitalize()} adapters cannot be merged: no weights of the base model compute "
            "what their bottlenecks do. unload() removes them; ParallelAdapterConfig(foldable=True) makes adapters "
            "that can be merged."
        )

    def unmerge(self) -> None:
        """Nothing, since nothing can be merged."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.placement(self, *args, **kwargs)

    def maps(self, adapter_name: str) -> dict[str, nn.Linear]:
        """The linear maps of an adapter's bottleneck, by name."""
        return {name: self._part(name)[adapter_name] for name in MAPS if adapter_name in self._part(name)}

    def combine(self, adapter_name: str, weights: Mapping[str, float]) -> None:
        """Sets an adapter's parameters to the weighted sum of those of others of the same shapes."""
        for name in self.adapter_layer_names:
            part = getattr(self, name)
            if adapter_name in part:
                own = _parameters(part[adapter_name])
                others = [[weight * p for p in _parameters(part[other])] for other, weight in weights.items()]
                for parameter, *terms in zip(own, *others, strict=True):
                    parameter.copy_(sum(terms))

    def turns(self) -> Iterator[Turn]:
        """The adapters in force, in their order."""
        if self._disable_adapters or self.merged_adapters:
            return
        if self.row_adapters is not None:
            yield self.row_adapters
            return
        for name in self.active_adapters:
            if name in self.settings:
                yield name

    def delta(self, turn: Turn, inputs: Mapping[str | None, Tensor]) -> Tensor:
        """`B(x)` of one adapter, or of each row's own; `inputs` holds `x` by read point."""
        if isinstance(turn, str):
            return self._bottleneck(turn, inputs)
        first = next(iter(inputs.values()))
        names = _names_of_rows(turn, len(first))
        result = first.new_zeros((*first.shape[:-1], self.out_features))
        for name in sorted(set(names) & self.settings.keys()):
            rows = torch.tensor([row for row, own in enumerate(names) if own == name], device=first.device)
            part = self._bottleneck(name, {read: x[rows] for read, x in inputs.items()})
            result = result.index_copy(0, rows, part.to(result.dtype))
        return result

    def adapt(self, y: Tensor) -> Tensor:
        """`y + B(y)`, for each adapter in force."""
        for turn in self.turns():
            y = y + self.delta(turn, {None: y}).to(y.dtype)
        return y

    def _bottleneck(self, adapter_name: str, inputs: Mapping[str | None, Tensor]) -> Tensor:
        settings = self.settings[adapter_name]
        down = self._part("down")[adapter_name]
        return bottleneck(
            self._cast_input_dtype(inputs[settings.read], down.weight.dtype),
            down,
            self._part("up")[adapter_name],
            settings.phi,
            gate=self._part("gate")[adapter_name] if settings.gated else None,
            scale=self._part("scaling")[adapter_name] if settings.scale is None else settings.scale,
            dropout=settings.dropout if self.training else 0.0,
        )

    def _part(self, name: str) -> Any:
        return getattr(self, self.prefix + name)

    def _adapt_block(self, block: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return _on_hidden_states(self.adapt, output)

    def __getattr__(self, name: str) -> Any:
        """What the model asks of the wrapped module (`mlp.act_fn`, …) is still to be found there."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(self.base_layer, name)


def after(layer: BottleneckLayer, *args: Any, **kwargs: Any) -> Any:
    """`y + B(y)`, `y = f(x)`."""
    return _on_hidden_states(layer.adapt, layer.base_layer(*args, **kwargs))


def in_block(layer: BottleneckLayer, *args: Any, **kwargs: Any) -> Any:
    """`f(x)`: the layer only keeps the weights, and its block applies them to its own output."""
    return layer.base_layer(*args, **kwargs)


def around_norm(layer: BottleneckLayer, x: Tensor) -> Any:
    """`f(x + B(f(x)))`, `f` a normalisation."""
    for turn in layer.turns():
        x = x + layer.delta(turn, {None: layer.base_layer(x)}).to(x.dtype)
    return layer.base_layer(x)


def beside(layer: BottleneckLayer, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """`f(x) + B(x)`, `x` the module's own input or a tapped one."""
    inputs = {None: x} | {name: tap.take(x.device) for name, tap in layer.taps.items()}

    def add(y: Tensor) -> Tensor:
        for turn in layer.turns():
            y = y + layer.delta(turn, inputs).to(y.dtype)
        return y

    return _on_hidden_states(add, layer.base_layer(x, *args, **kwargs))


def _on_hidden_states(change: Callable[[Tensor], Tensor], output: Any) -> Any:
    """Changes a module's output, which is a tensor or a tuple that begins with the hidden states."""
    return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)


def _names_of_rows(names: Sequence[str], rows: int) -> Sequence[str]:
    """The adapter of each row; some models flatten `[batch, tokens, d]` to `[batch·tokens, d]` around the FFN."""
    return names if rows == len(names) else [name for name in names for _ in range(rows // len(names))]


def _parameters(part: nn.Module | nn.Parameter) -> list[Tensor]:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())


def _device_and_dtype(module: nn.Module) -> tuple[torch.device | None, torch.dtype | None]:
    """Where a module computes and in which type: a 4-bit layer's weights are stored in another."""
    first = None
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter.device, parameter.dtype
        first = parameter if first is None else first
    return (None if first is None else first.device), getattr(module, "compute_dtype", None)


def _remove_hooks(hooks: Any, owner: object) -> None:
    for key in [key for key, hook in hooks.items() if getattr(hook, "__self__", None) is owner]:
        del hooks[key]
