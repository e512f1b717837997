"""The tuner layer: the bottlenecks of several named adapters on one module of the base model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .bottleneck import FORMS, Bottleneck, Map, activation, build_maps, reset_parameters
from .composition import FUSION_PARTS, Composition
from .config import BottleneckConfig
from .convolution import Convolution, TokenContext
from .hooks import BlockOutput, InputTap, Summands, with_first
from .rows import Rows
from .stacks import Member, Stacks, copy_slices
from .tuner_layer import TunerLayer, device_and_dtype

PARTS = ("norm_before", "down", "gate", "conv", "up", "gating", "norm_after")
BASE = "__base__"  # PEFT's name for "no adapter" in `adapter_names`

Placement = Callable[..., Any]  # how bottlenecks are composed with the wrapped module: one function of `placement`


class BottleneckLayer(TunerLayer):
    """Wraps `base_layer`; the weights of adapter `a` are `<prefix>down.a`, `<prefix>up.a`, …, as PEFT loads them.

    Args:
        base_layer: the wrapped module.
        features: channels that a bottleneck reads and writes, `(d_in, d_out)`.
        placement: `after`, `around_norm`, `beside`, or `in_block` together with `block`.
        block: the block whose output is adapted; it contains `base_layer`.
    """

    def __init__(
        self, base_layer: nn.Module, features: tuple[int, int], placement: Placement, block: nn.Module | None = None
    ) -> None:
        super().__init__(base_layer)
        self.in_features, self.out_features = features
        self.placement = placement
        self.bottlenecks: dict[str, Bottleneck] = {}
        self.compositions: dict[str, Composition] = {}
        self.taps: dict[str, InputTap] = {}
        self.summands: Summands | None = None
        self.stacks = Stacks()
        self.register_state_dict_post_hook(copy_slices)  # type: ignore[no-untyped-call]
        for name in (*PARTS, *FUSION_PARTS):
            setattr(self, self.prefix + name, nn.ModuleDict())
        setattr(self, self.prefix + "scaling", nn.ParameterDict())
        self.multiplier = 1.0  # set while `rescale_adapter_scale` holds
        self.block_output = None if block is None else BlockOutput(block, self)
        self.own_attributes = frozenset(vars(self))

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not hasattr(cls, "prefix"):
            return  # not yet a method's
        cls.adapter_layer_names = tuple(cls.prefix + name for name in (*PARTS, *FUSION_PARTS, "scaling"))
        cls.other_param_names = ("bottlenecks", "compositions")

    @property
    def block(self) -> nn.Module | None:
        """The block whose output is adapted."""
        return None if self.block_output is None else self.block_output.block

    def update_layer(
        self,
        adapter_name: str,
        size: int,
        config: BottleneckConfig,
        tap: tuple[str, list[nn.Module]] | None = None,
        context: TokenContext | None = None,
        first: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds a bottleneck of this size, on the device and in the type of the base layer.

        `tap` is a read point with its name, `context` what a convolution listens to, `first` the maps of the adapter's
        first bottleneck.
        """
        reads, writes = self.in_features, self.out_features
        extra: dict[str, nn.Module] = {}
        if context is not None:
            extra["conv"] = Convolution(size, config.kernel_size, causal=context.causal)
        if config.ln_before:
            extra["norm_before"] = nn.LayerNorm(reads)
        if config.use_gating:
            extra["gating"] = nn.Linear(reads, 1)
        if config.ln_after:
            extra["norm_after"] = nn.LayerNorm(writes)
        maps = build_maps(config.bottleneck, reads, size, writes, bias=config.use_bias, phm=config.phm, first=first)
        parts: dict[str, Any] = {**maps, **extra}
        reset_parameters(parts, method=config.init_method, no_op=config.init_weights)
        device, dtype = device_and_dtype(self.base_layer)
        self._register(adapter_name, parts)
        if isinstance(config.scaling, str):
            ones = torch.ones(self.out_features if config.scaling == "channel" else 1)
            scale = ones if ones.device.type == "meta" else ones.to(device=device, dtype=dtype)
            self._part("scaling")[adapter_name] = nn.Parameter(scale)
        if tap is not None and tap[0] not in self.taps:
            self.taps[tap[0]] = InputTap(tap[0], *tap[1])
        self.bottlenecks[adapter_name] = Bottleneck(
            form=config.bottleneck,
            phi=activation(config.non_linearity),
            scale=None if isinstance(config.scaling, str) else float(config.scaling),
            dropout=config.dropout,
            context=context,
            read=tap[0] if tap is not None else None,
            stochastic_depth=config.stochastic_depth,
            extra=tuple(extra),
            normalises_sum=config.adapter_residual_before_ln,
        )
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def split(self, added: nn.Module, kept: nn.Module) -> None:
        """In evaluation, adds to what `added` returns before what `kept` reads is added (`Summands`)."""
        if self.summands is None:
            self.summands = Summands(added, kept)

    def compose(self, adapter_name: str, composition: Composition, *, inference_mode: bool) -> None:
        """Adds an adapter made of others, where at least one of them is."""
        if not self.bottlenecks.keys() & set(composition.adapters):
            return
        self._register(adapter_name, composition.build(self.in_features, self.out_features))
        self.compositions[adapter_name] = composition
        self.set_adapter(self.active_adapters, inference_mode=inference_mode)

    def _register(self, adapter_name: str, parts: Mapping[str, nn.Module]) -> None:
        """Keeps an adapter's modules, on the device and in the type of the base layer."""
        device, dtype = device_and_dtype(self.base_layer)
        for name, part in parts.items():
            # On the meta device are weights that are still to be loaded: `low_cpu_mem_usage`.
            on_meta = any(parameter.device.type == "meta" for parameter in part.parameters())
            self._part(name)[adapter_name] = part if on_meta else part.to(device=device, dtype=dtype)

    def delete_adapter(self, adapter_name: str) -> None:
        super().delete_adapter(adapter_name)
        self.stacks.remove(adapter_name)
        read = {bottleneck.read for bottleneck in self.bottlenecks.values()}
        for name in [name for name in self.taps if name not in read]:
            self.taps.pop(name).remove()

    def release(self) -> None:
        super().release()
        while self.taps:
            self.taps.popitem()[1].remove()
        for bottleneck in self.bottlenecks.values():
            if bottleneck.context is not None:
                bottleneck.context.remove()
        if self.block_output is not None:
            self.block_output.remove()
        if self.summands is not None:
            self.summands.remove()

    def holds(self, adapter: str) -> bool:
        return adapter in self.bottlenecks

    def forward(self, *args: object, **kwargs: object) -> Any:
        if "forward" in self.__dict__:
            self.was_called = True
        return self.placement(self, self._modules["base_layer"], *args, **kwargs)

    def adapt(self, output: Any, read: Callable[[Tensor], Tensor] | None = None) -> Any:
        """`y + B(x)` for every active adapter, in their order; each gets the `y` of the one before.

        Args:
            output: `y`, `[…, d_out]`, or a tuple, list or `ModelOutput` that begins with it.
            read: gives `x`, `[…, d_in]`, for `y`; None: `x` is `y`. A bottleneck with a read point of its own takes
                the tapped input instead.

        Raises:
            ValueError: a block's output has other channels than the adapter.
        """
        if not isinstance(output, Tensor):
            return with_first(output, self.adapt(output[0], read))
        y = output
        if self.block_output is not None and y.shape[-1] != self.out_features:
            raise ValueError(
                f"The block puts out {y.shape[-1]} channels and the adapter has {self.out_features}: several residual "
                "streams side by side have no sum that this adapter could change. Use another method."
            )
        inputs: dict[str | None, Tensor] = {}
        for name, tap in self.taps.items():
            inputs[name] = tap.take(y.device)
        summands = None if self.summands is None else self.summands.take(y)
        if self._disable_adapters or self.merged_adapters:
            return y
        if summands is None or not self._has_active():
            return self._adapt(y, inputs, read)
        first, rest = summands
        return self._adapt(first, inputs, lambda y: y + rest if read is None else read(y + rest)) + rest

    def _has_active(self) -> bool:
        """Whether an adapter of this layer takes part in the call."""
        names = [*self.bottlenecks, *self.compositions]
        return bool(names if self.rows is not None else set(names) & set(self.active_adapters))

    def _adapt(self, y: Tensor, inputs: dict[str | None, Tensor], read: Callable[[Tensor], Tensor] | None) -> Tensor:
        """`y + B(x)` for every active adapter; `inputs` is what was tapped."""
        if self.rows is not None:
            inputs[None] = y if read is None else read(y)
            return self._adapt_rows(y, inputs, self.rows)
        active = self._active_adapter
        for adapter in (active,) if isinstance(active, str) else active:
            if adapter in self.bottlenecks or adapter in self.compositions:
                inputs[None] = y if read is None else read(y)
                y = self._add(adapter, y, inputs)
        return y

    def _adapt_rows(self, y: Tensor, inputs: Mapping[str | None, Tensor], rows: Rows) -> Tensor:
        """`y + B(x)` by each row's own adapter."""
        members = {name: self._member(name) for name in dict.fromkeys(rows.names) if name in self.bottlenecks}
        if any(member.bottleneck.context is not None for member in members.values()):
            raise ValueError(
                "adapter_names cannot be used with bottleneck='conv'; set one adapter for the whole batch."
            )
        x = {read: rows.split(tensor) for read, tensor in inputs.items()}
        result = rows.split(y)  # some models flatten `[batch, tokens, d]` to `[batch·tokens, d]` around the FFN
        together = set()
        for group in self.stacks.groups(members) if self.multiplier == 1.0 else ():
            share = rows.share(group.adapters, result.shape[1], y.device)
            result = group.add_to(result, x[group.bottleneck.read], share, training=self.training)
            together |= set(group.adapters)
        composed = self.compositions.keys() & set(rows.names)
        for name in sorted((members.keys() - together) | composed):
            own = torch.tensor(rows.of(name), device=y.device)
            result = result.index_copy(
                0, own, self._add(name, result[own], {k: tensor[own] for k, tensor in x.items()})
            )
        return result.reshape(y.shape)

    def _member(self, adapter: str) -> Member:
        bottleneck = self.bottlenecks[adapter]
        return Member(bottleneck, self.parts(adapter), None if bottleneck.scale is not None else self._scale(adapter))

    def _add(self, adapter: str, y: Tensor, inputs: Mapping[str | None, Tensor]) -> Tensor:
        """`y + B(x)` of one adapter, or the output of a composition; `inputs` are the `x` by read point."""
        bottleneck = self.bottlenecks.get(adapter)
        if bottleneck is None:
            return self._add_composition(self.compositions[adapter], adapter, y, inputs)
        x = inputs[bottleneck.read]
        if x.dim() != y.dim():
            x = _rows_as_in(y, x)
        scale = bottleneck.scale
        if scale is None or self.multiplier != 1.0:
            return bottleneck.add_to(y, x, self.parts(adapter), self.scale(adapter), training=self.training)
        return bottleneck.add_to(y, x, self.parts(adapter), scale, training=self.training)

    def _add_composition(
        self, composition: Composition, adapter: str, y: Tensor, inputs: Mapping[str | None, Tensor]
    ) -> Tensor:
        present = {name: self.bottlenecks[name] for name in composition.adapters if name in self.bottlenecks}
        read = {name: _rows_as_in(y, inputs[bottleneck.read]) for name, bottleneck in present.items()}
        outputs = {
            name: bottleneck.add_to(
                torch.zeros_like(y), read[name], self.parts(name), self.scale(name), training=False
            )
            for name, bottleneck in present.items()
        }
        last = list(present)[-1]
        parts = self.composition_parts(adapter)
        return composition.add_to(y, read[last], outputs, parts, training=self.training)

    def composition_parts(self, adapter: str) -> dict[str, Any]:
        """The modules of one composition by name."""
        return {name: self._part(name)[adapter] for name in FUSION_PARTS if adapter in self._part(name)}

    def scale(self, adapter: str) -> Tensor | float:
        """`s` of one adapter, times the factor of `rescale_adapter_scale`; if trained, `[1]` or `[d_out]`."""
        number = self.bottlenecks[adapter].scale
        scale = self._scale(adapter) if number is None else number
        return scale if self.multiplier == 1.0 else scale * self.multiplier

    def _scale(self, adapter: str) -> nn.Parameter:
        scale: nn.Parameter = self._part("scaling")[adapter]
        return scale

    def parts(self, adapter: str) -> dict[str, Any]:
        """The modules of one adapter's bottleneck by name.

        They are looked up at every call: sharding, converting and replicating a model replace them. Attribute access
        costs ten times as much as `_modules`, the dictionary behind it.
        """
        modules: Any = self._modules
        found = {}
        for name in self.bottlenecks[adapter].part_names:
            found[name] = modules[self.prefix + name]._modules[adapter]
        return found

    def maps(self, adapter: str) -> dict[str, Map]:
        """The linear maps of one adapter's bottleneck by name."""
        parts = self.parts(adapter)
        return {name: parts[name] for name in FORMS[self.bottlenecks[adapter].form]}


def _rows_as_in(y: Tensor, x: Tensor) -> Tensor:
    """`x` shaped as `y`: some mixtures of experts read `[batch, tokens, d]` and return `[batch·tokens, d]`."""
    return x if x.dim() == y.dim() else x.reshape(*y.shape[:-1], x.shape[-1])
