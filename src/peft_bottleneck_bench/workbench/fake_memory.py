"""The peak memory of a training step, predicted without the device: no weight is allocated and nothing is computed.

A model on the meta device is given *fake* tensors, which have shapes and no values, and every storage is counted as
long as it lives. What a device's kernels take for themselves, and what its allocator loses between blocks, is not in
the count.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_BLOCK_4BIT, _BLOCK_NESTED = 64, 256  # weights that share a scale, and scales that share one
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

Inputs = Mapping[str, object]


def peak_bytes(
    model: nn.Module,
    inputs: Inputs,
    *,
    precision: str = "fp32",
    loss: Callable[..., Tensor] | None = None,
    evaluation: Inputs | None = None,
) -> int:
    """What lives at most in a training step with AdamW, weights, gradients and the optimiser's state included.

    Args:
        model: on the meta device, ready to train.
        inputs: of the step; the values of tensors do not matter.
        precision: `fp32`, or the autocast `bf16` or `fp16`.
        loss: takes the model's output and the labels; None: the model computes it.
        evaluation: inputs of an evaluation, whose peak counts too.
    """
    memory = LiveMemory()
    with FakeTensorMode() as mode, memory:
        allocate(model)
        step, checked = (
            {name: mode.from_tensor(value) if isinstance(value, Tensor) else value for name, value in given.items()}
            for given in (inputs, evaluation or {})
        )
        labels = step.pop("labels") if loss is not None else None
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if trained:
            optimizer = torch.optim.AdamW(trained, foreach=False)
            for parameter in trained:
                parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
            optimizer.zero_grad()
            with _autocast(precision):
                outputs = model.train()(**step)
                value = outputs.loss if loss is None else loss(outputs, labels)
            del outputs
            value.backward()
            del value
            optimizer.zero_grad()
        if checked:
            with torch.no_grad(), _autocast(precision):
                model.eval()(**checked)
    return memory.peak


def _autocast(precision: str) -> AbstractContextManager[object]:
    return torch.autocast("cpu", dtype=_AUTOCAST[precision]) if precision in _AUTOCAST else nullcontext()


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of all storages that operations make, from their making to their end.

    Attributes:
        live: those of now.
        peak: the most there were.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: int = 0
        self.peak: int = 0
        self.known: dict[int, weakref.finalize[[int, int], UntypedStorage]] = {}

    def __torch_dispatch__(
        self,
        function: OpOverload,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.known:
                    self.live += storage.nbytes()
                    self.peak = max(self.peak, self.live)
                    self.known[storage._cdata] = weakref.finalize(storage, self._end, storage._cdata, storage.nbytes())
        return result

    def _end(self, key: int, nbytes: int) -> None:
        del self.known[key]
        self.live -= nbytes


def allocate(model: nn.Module) -> None:
    """Puts tensors of the mode in force into the places of those on the meta device; shared ones stay shared."""
    made: dict[Tensor, Tensor] = {}
    for module in model.modules():
        for own in (module._parameters, module._buffers):
            for name, tensor in own.items():
                if tensor is not None and tensor not in made:
                    made[tensor] = torch.empty(tensor.shape, dtype=tensor.dtype)
                    if isinstance(tensor, nn.Parameter):
                        made[tensor] = nn.Parameter(made[tensor], requires_grad=tensor.requires_grad)
                if tensor is not None:
                    own[name] = made[tensor]  # type: ignore[assignment]


def quantise(model: nn.Module, quantization: str, outside: list[str], compute: torch.dtype) -> nn.Module:
    """Gives the linear maps of `model`, on the meta device, the memory of bitsandbytes' layers; returns it.

    Args:
        quantization: `8bit` or `4bit`.
        outside: the names of the maps that stay as they are.
        compute: the type in which a layer of four bits multiplies.
    """
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and name not in outside:
            parent = model.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], _Quantised(module, quantization, compute))
    return model


class _Quantised(nn.Linear):
    """A frozen linear map of 8 or 4 bits, as far as memory is concerned."""

    def __init__(self, linear: nn.Linear, quantization: str, compute: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        count = linear.weight.numel()
        self.bits = 8 if quantization == "8bit" else 4
        size = count if self.bits == 8 else count // 2
        self.weight = nn.Parameter(torch.empty(size, dtype=torch.uint8, device="meta"), requires_grad=False)
        scales = (
            self.out_features * 4
            if self.bits == 8
            else count // _BLOCK_4BIT + count // _BLOCK_4BIT // _BLOCK_NESTED * 4
        )
        self.register_buffer("scales", torch.empty(scales, dtype=torch.uint8, device="meta"))
        self.bias = linear.bias
        self.compute_dtype = linear.weight.dtype if self.bits == 8 else compute

    def forward(self, input: Tensor) -> Tensor:
        product = _Product8.apply if self.bits == 8 else _Product4.apply
        shape = (self.out_features, self.in_features)
        result: Tensor = product(input, self.weight, self.bias, shape, self.compute_dtype)  # type: ignore[no-untyped-call]
        return result


def _dequantised(packed: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=packed.device)


class _Product4(torch.autograd.Function):
    """The weight is made whole for each product, in the forward and the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, packed: Tensor, bias: Tensor | None, shape: tuple[int, int], dtype: torch.dtype
    ) -> Tensor:
        ctx.packed, ctx.shape, ctx.dtype, ctx.of = packed, shape, dtype, x.dtype
        own = x.to(dtype)
        y = torch.nn.functional.linear(
            own, _dequantised(packed, shape, dtype), None if bias is None else bias.to(dtype)
        )
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        weight = _dequantised(ctx.packed, ctx.shape, ctx.dtype)
        return (gradients[0].to(ctx.dtype) @ weight).to(ctx.of), None, None, None, None


class _Product8(torch.autograd.Function):
    """The input is converted to float16 and to 8 bits, and the sums are 32 bits; backward makes the weight whole."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, packed: Tensor, bias: Tensor | None, shape: tuple[int, int], dtype: torch.dtype
    ) -> Tensor:
        ctx.packed, ctx.shape, ctx.of = packed, shape, x.dtype
        half = x.to(torch.float16)
        rows = half.to(torch.int8)
        sums = torch.empty((*x.shape[:-1], shape[0]), dtype=torch.int32, device=x.device)
        result = sums.to(torch.float16)
        del half, rows, sums
        return result.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        whole = _dequantised(ctx.packed, ctx.shape, ctx.of)
        scaled = whole * 0.5
        return (gradients[0] @ scaled).to(ctx.of), None, None, None, None
