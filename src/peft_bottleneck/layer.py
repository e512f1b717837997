"""The tuner layer: the bottlenecks of several named adapters on one module of the base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .bottleneck import Bottleneck, activation, build_maps, draw_maps
from .config import BottleneckConfig
from .convolution import Convolution, TokenContext
from .placement import InputTap, Placement, adapt_output, remove_hooks
from .recomputation import forget, has_recomputed, recompute_with
from .registration import BaseTunerLayer
from .shortcut import Shortcut

PARTS = ("down", "gate", "conv", "up")
BASE = "__base__"  # PEFT's name for "no adapter" in `adapter_names`

Turn = str | Sequence[str]  # one adapter for the whole batch, or one for each of its rows


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
        self.bottlenecks: dict[str, Bottleneck] = {}
        self.taps: dict[str, InputTap] = {}
        self.row_adapters: Sequence[str] | None = None  # set while a call with `adapter_names` runs
        self.shortcut: Shortcut | None = None
        for name in PARTS:
            setattr(self, self.prefix + name, nn.ModuleDict())
        setattr(self, self.prefix + "scaling", nn.ParameterDict())
        self.merged_adapters: list[str] = []
        # Not as an attribute that nn.Module would register: the block contains this layer.
        self.block = (block,)
        if block is not None:
            block.register_forward_pre_hook(self._enter_block)
            block.register_forward_hook(self._adapt_block, prepend=True)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not hasattr(cls, "prefix"):
            return  # not yet a method's
        cls.adapter_layer_names = tuple(cls.prefix + name for name in (*PARTS, "scaling"))
        cls.other_param_names = ("bottlenecks",)

    def update_layer(
        self,
        adapter_name: str,
        size: int,
        config: BottleneckConfig,
        tap: tuple[str, nn.Module] | None = None,
        context: TokenContext | None = None,
    ) -> None:
        """Adds a bottleneck of this size, on the device and in the type of the base layer.

        `tap` is a read point with its name, `context` what a convolution listens to.
        """
        maps = build_maps(config.bottleneck, self.in_features, size, self.out_features, bias=config.use_bias)
        draw_maps(maps, method=config.init_method, no_op=config.init_weights)
        parts: dict[str, nn.Module] = dict(maps)
        if context is not None:
            parts["conv"] = Convolution(size, config.kernel_size, causal=context.causal)
        device, dtype = _device_and_dtype(self.base_layer)
        for name, linear in parts.items():
            on_meta = linear.weight.device.type == "meta"  # weights to be loaded: `low_cpu_mem_usage`
            self._part(name)[adapter_name] = linear if on_meta else linear.to(device=device, dtype=dtype)
        if isinstance(config.scaling, str):
            ones = torch.ones(self.out_features if config.scaling == "channel" else 1)
            scale = ones if ones.device.type == "meta" else ones.to(device=device, dtype=dtype)
            self._part("scaling")[adapter_name] = nn.Parameter(scale)
        if tap is not None and tap[0] not in self.taps:
            self.taps[tap[0]] = InputTap(*tap)
        self.bottlenecks[adapter_name] = Bottleneck(
            adapter=adapter_name,
            prefix=self.prefix,
            maps=maps,
            phi=activation(config.non_linearity),
            scale=None if isinstance(config.scaling, str) else float(config.scaling),
            dropout=config.dropout,
            context=context,
            read=tap[0] if tap is not None else None,
        )
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def delete_adapter(self, adapter_name: str) -> None:
        super().delete_adapter(adapter_name)
        self.shortcut = None
        read = {bottleneck.read for bottleneck in self.bottlenecks.values()}
        for name in [name for name in self.taps if name not in read]:
            self.taps.pop(name).remove()

    def release(self) -> None:
        """Takes back the hooks on other modules, before the base layer gets its place back."""
        while self.taps:
            self.taps.popitem()[1].remove()
        for bottleneck in self.bottlenecks.values():
            if bottleneck.context is not None:
                bottleneck.context.remove()
        block = self.block[0]
        if block is not None:
            remove_hooks(block._forward_pre_hooks, self)
            remove_hooks(block._forward_hooks, self)
            forget(block)

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

    def combine(self, adapter_name: str, weights: Mapping[str, float]) -> None:
        """Sets an adapter's parameters to the weighted sum of those of others of the same shapes."""
        for name in self.adapter_layer_names:
            part = getattr(self, name)
            if adapter_name in part:
                own = _parameters(part[adapter_name])
                others = [[weight * p for p in _parameters(part[other])] for other, weight in weights.items()]
                for parameter, *terms in zip(own, *others, strict=True):
                    parameter.copy_(sum(terms))

    def turns(self) -> Sequence[Turn]:
        """The adapters in force, in their order."""
        if self._disable_adapters or self.merged_adapters:
            return ()
        if self.row_adapters is not None:
            return (self.row_adapters,)
        active = self._active_adapter
        names = (active,) if isinstance(active, str) else active
        return [name for name in names if name in self.bottlenecks]

    def sole(self) -> Bottleneck | None:
        """The bottleneck in force where it is the only one and reads what is at hand: the common case."""
        active = self._active_adapter
        if (
            len(active) != 1
            or isinstance(active, str)
            or self._disable_adapters
            or self.merged_adapters
            or self.row_adapters is not None
            or self.taps
        ):
            return None
        return self.bottlenecks.get(active[0])

    def add(self, turn: Turn, y: Tensor, inputs: Mapping[str | None, Tensor]) -> Tensor:
        """`y + B(x)` of one adapter, or of each row's own; `inputs` holds `x` by read point."""
        if isinstance(turn, str):
            bottleneck = self.bottlenecks[turn]
            return bottleneck.add_to(y, inputs[bottleneck.read], self)
        names = _names_of_rows(turn, len(y))
        if any(self.bottlenecks[name].context is not None for name in set(names) & self.bottlenecks.keys()):
            raise ValueError(
                "adapter_names cannot be used with bottleneck='conv'; set one adapter for the whole batch."
            )
        for name in sorted(set(names) & self.bottlenecks.keys()):
            rows = torch.tensor([row for row, own in enumerate(names) if own == name], device=y.device)
            bottleneck = self.bottlenecks[name]
            y = y.index_copy(0, rows, bottleneck.add_to(y[rows], inputs[bottleneck.read][rows], self))
        return y

    def _part(self, name: str) -> Any:
        return getattr(self, self.prefix + name)

    def _enter_block(self, block: nn.Module, args: tuple[Any, ...]) -> None:
        recompute_with(block, self._in(block).adapt)

    def _adapt_block(self, block: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return output if has_recomputed(block) else self._in(block).adapt(output)

    def adapt(self, output: Any) -> Any:
        """`y + B(y)` of what the block returns."""
        return adapt_output(self, output)

    def _in(self, block: nn.Module) -> BottleneckLayer:
        """This layer, or its replica: nn.DataParallel copies modules, and leaves hooks to the originals."""
        if "_is_replica" not in vars(block):
            return self
        return next(module for module in block.modules() if vars(module).get("block") is self.block)  # type: ignore

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self.__dict__["shortcut"] = None  # it may hold no longer

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {**state, "shortcut": None}  # it leads to hooks that are not this layer's to copy

    def __getattr__(self, name: str) -> Any:
        """What the model asks of the wrapped module (`mlp.act_fn`, …) is still to be found there."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(self.base_layer, name)


def _names_of_rows(names: Sequence[str], rows: int) -> Sequence[str]:
    """The adapter of each row; some models flatten `[batch, tokens, d]` to `[batch·tokens, d]` around the FFN."""
    return names if rows == len(names) else [name for name in names for _ in range(rows // len(names))]


def _parameters(part: nn.Module | nn.Parameter) -> list[Tensor]:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())


def _device_and_dtype(module: nn.Module) -> tuple[torch.device | None, torch.dtype | None]:
    """Where a module computes and in which type: 4-bit layers name it, and store their weights in another."""
    parameters = sorted(module.parameters(), key=lambda parameter: not parameter.is_floating_point())
    types = [getattr(part, "compute_dtype", None) for part in module.modules()]
    types += [parameter.dtype for parameter in parameters if parameter.is_floating_point()]
    dtype = next((dtype for dtype in types if isinstance(dtype, torch.dtype)), None)
    device = parameters[0].device if parameters else None
    if device is not None and device.type == "meta":  # offloaded by Accelerate: the weights come when they are needed
        places = [getattr(getattr(part, "_hf_hook", None), "execution_device", None) for part in module.modules()]
        device = next((torch.device(place) for place in places if place is not None), None)
    return device, dtype
