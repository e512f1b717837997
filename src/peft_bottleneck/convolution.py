"""A depth-wise convolution over tokens inside the bottleneck: `B(x) = s·(W_up φ(c ⊛ (W_down x + b_down)) + b_up)`.

`c ∈ R^{r×k}` has one kernel of `k` taps per channel, without a bias: `(c ⊛ z)_t = Σ_j c_j ⊙ z_{t+o-j}`, where `o` is 0
in causal models (a token sees itself and the `k-1` before it) and `(k-1)/2` in others. Padded tokens count as zeros.
It starts as the identity. After ST-Adapter (Pan et al. 2022, "Parameter-Efficient Image-to-Video Transfer Learning"),
whose depth-wise convolution runs over space and time.

A convolution needs two inputs that its module does not get: the padding mask and, in token-by-token generation, the
earlier tokens. `TokenContext` takes both from the call of the stack of blocks. The model's own cache keeps the earlier
tokens as one more layer, so that it reorders, crops and copies them together with the keys and values.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache

from .hooks import caller, remove_hooks

# Their attention modules do not say that they are causal.
_CAUSAL_STACKS = ("BloomModel", "CLIPTextModel", "CLIPTextTransformer")
# What a model calls its cache of keys and values: the first from transformers 5.24 on, which still takes the second.
CACHE_NAMES = ("cache", "past_key_values")
_INPUTS = ("input_ids", "inputs_embeds", "pixel_values", "input_features", "input_values", "hidden_states")


@dataclass(frozen=True)
class Call:
    """What a convolution listens to in one call of the stack of blocks around it.

    Attributes:
        batch: rows of the batch.
        mask: `[batch, tokens]`, zero where padded, or None.
        cache: the cache of keys and values, or None.
    """

    batch: int = 0
    mask: Tensor | None = None
    cache: Cache | None = None


class TokenContext:
    """The mask and the cache in the present calls of the stack of blocks around a convolution, by thread.

    Attributes:
        causal: whether tokens see only those before them.
        calls: the calls that run, or that a backward pass may compute again.
    """

    def __init__(self, stack: PreTrainedModel) -> None:
        attentions = [module for module in stack.modules() if "Attention" in type(module).__name__]
        self.causal = (
            type(stack).__name__ in _CAUSAL_STACKS
            or getattr(stack.config, "is_decoder", False)  # T5's attention has it from transformers 5 on only
            or any(getattr(module, "is_causal", False) is True for module in attentions)
        )
        self.signature = inspect.signature(type(stack).forward)
        self.calls: dict[int, Call] = {}
        stack.register_forward_pre_hook(self.listen, with_kwargs=True)
        stack.register_forward_hook(self.forget)
        self.stack = (stack,)

    @property
    def call(self) -> Call:
        """The present call: this thread's, or, where the backward pass computes blocks again, the last one."""
        own = self.calls.get(caller())
        return own or (list(self.calls.values())[-1] if self.calls else Call())

    def listen(
        self, stack: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if getattr(stack, "_is_replica", False):  # each replica has other rows of the batch
            raise RuntimeError(
                "bottleneck='conv' does not work under nn.DataParallel; start one process per device instead: "
                "`accelerate launch`, or `torchrun`."
            )
        given = self.signature.bind(stack, *args, **kwargs).arguments
        given |= given.get("kwargs", {})
        batch = next(given[name].shape[0] for name in _INPUTS if given.get(name) is not None)
        mask = given.get("attention_mask")
        if mask is not None and mask.dim() != 2:
            raise ValueError(
                f"bottleneck='conv' needs an attention mask of shape [batch, tokens], got {list(mask.shape)}"
            )
        cache = next((given[name] for name in CACHE_NAMES if given.get(name) is not None), None)
        recomputes = _recomputes(stack)
        wanted = given.get("use_cache", getattr(stack.config, "use_cache", False))
        if cache is None and wanted and self.causal and not recomputes and (name := cache_name(type(stack))):
            # The stack would make a cache that is not visible from here.
            cache = DynamicCache(config=stack.config)
            if stack.config.is_encoder_decoder:
                cache = EncoderDecoderCache(cache, DynamicCache(config=stack.config))
            kwargs = kwargs | {name: cache}
        cache = cache.self_attention_cache if isinstance(cache, EncoderDecoderCache) else cache
        self.calls.pop(caller(), None)
        self.calls[caller()] = Call(batch, mask, None if recomputes else cache)
        return args, kwargs

    def forget(self, stack: nn.Module, args: object, output: object) -> None:
        """After the call: drops its tensors, unless the backward pass computes blocks again."""
        if not _recomputes(stack):
            self.calls.pop(caller(), None)

    def remove(self) -> None:
        """Takes the hooks away again."""
        remove_hooks(self.stack[0]._forward_pre_hooks, self)
        remove_hooks(self.stack[0]._forward_hooks, self)

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "calls": {}}

    def remembered(self, key: object, z: Tensor) -> Tensor:
        """`z` after the earlier tokens under this key: `[batch, all tokens, r]`."""
        cache = self.call.cache
        if cache is None:
            return z
        if not hasattr(cache, "bottleneck_layers"):
            while getattr(cache, "layer_class_to_replicate", None) and len(cache.layers) < _depth(
                self.stack[0].config
            ):
                cache.layers.append(cache.layer_class_to_replicate())  # the model's own come first
            cache.bottleneck_layers = {}
        layer = cache.bottleneck_layers.get(key)
        if layer is None:
            layer = cache.bottleneck_layers[key] = DynamicLayer()
            cache.layers.append(layer)
        keys: Tensor = layer.update(z.unsqueeze(1), z.unsqueeze(1)[..., :0])[0]
        return keys.squeeze(1)


class Convolution(nn.Conv1d):
    """The kernels `c`: `[batch, tokens, r]` to the same; starts as the identity unless drawn."""

    def __init__(self, size: int, width: int, *, causal: bool) -> None:
        super().__init__(size, size, width, groups=size, bias=False)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[:, 0, width - 1 if causal else width // 2] = 1.0

    def forward(self, z: Tensor, context: TokenContext, key: object) -> Tensor:  # type: ignore[override]
        """`c ⊛ z`; some models flatten `[batch, tokens, r]` to `[batch·tokens, r]` around the FFN."""
        call = context.call
        tokens = z if z.dim() == 3 else z.reshape(call.batch, -1, z.shape[-1])
        count, width = tokens.shape[1], self.kernel_size[0]
        if call.mask is not None:
            tokens = tokens * call.mask[:, -count:, None].to(tokens.dtype)
        if context.causal:
            tokens = context.remembered(key, tokens)[:, -(count + width - 1) :]
        before = count + width - 1 - tokens.shape[1] if context.causal else width // 2
        padded = F.pad(tokens, (0, 0, before, 0 if context.causal else width // 2))
        return F.conv1d(padded.transpose(1, 2), self.weight, groups=self.groups).transpose(1, 2).reshape(z.shape)


def _recomputes(stack: nn.Module) -> bool:
    """Whether these blocks are checkpointed: a call keeps their inputs alone."""
    return stack.training and any(getattr(module, "gradient_checkpointing", False) for module in stack.modules())


def cache_name(model_class: type[nn.Module]) -> str | None:
    """The name of the cache in these models' `forward`; None if it takes none."""
    taken = inspect.signature(model_class.forward).parameters
    return next((name for name in CACHE_NAMES if name in taken), None)


def context_of(model: nn.Module, key: str) -> TokenContext:
    """The context of the stack of blocks that contains the module of this name; one per stack.

    Raises:
        ValueError: no transformers model contains it.
    """
    names = key.split(".")
    for length in range(len(names), -1, -1):
        stack = model.get_submodule(".".join(names[:length]))
        if isinstance(stack, PreTrainedModel):
            for hook in stack._forward_pre_hooks.values():
                owner = getattr(hook, "__self__", None)
                if isinstance(owner, TokenContext):
                    return owner
            return TokenContext(stack)
    raise ValueError(f"bottleneck='conv' needs a transformers model around {key!r}, whose mask shows the padding.")


def _depth(config: Any) -> int:
    depth: int = config.get_text_config(decoder=True).num_hidden_layers
    return depth
