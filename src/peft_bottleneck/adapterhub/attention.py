"""Attention in the order of AdapterHub's library, whose rounding the softmax of a fusion magnifies.

With `q`, `k` and `v` the queries, keys and values and `d` the channels of a head, the library computes

==========  ==========================================================  ==========================================
T5, mT5     `softmax(q kᵀ + bias) v` of copies of `q`, `k` and `v`       torch multiplies views in another order
GPT-J       `softmax(q kᵀ / √d + mask) v`                                transformers 5 multiplies by `1 / √d`
==========  ==========================================================  ==========================================

In this order, the base model agrees with the library to the last bit. In every other family it does so anyway.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def attend_in_the_order_of_the_library(base: PreTrainedModel) -> None:
    """Makes a T5 or a GPT-J attend as the library does; `base.set_attn_implementation("sdpa")` undoes that.

    Other families, and transformers before 5, where these have one attention alone, are left as they are.
    """
    name = _NAMES.get(base.config.model_type)
    choosable = hasattr(sys.modules[type(base).__module__], "eager_attention_forward")
    if name is not None and choosable and base.config._attn_implementation in ("eager", "sdpa", *_FUNCTIONS):
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        ALL_ATTENTION_FUNCTIONS.register(name, _FUNCTIONS[name])
        ALL_MASK_ATTENTION_FUNCTIONS.register(name, eager_mask)
        base.set_attn_implementation(name)


def _of_copies(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor]:
    """The eager attention of the module's own file."""
    attention = sys.modules[type(module).__module__].eager_attention_forward
    result: tuple[Tensor, Tensor] = attention(
        module, query.contiguous(), key.contiguous(), value.contiguous(), mask, **options
    )
    return result


def _divided(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    dropout: float = 0.0,
    **options: object,
) -> tuple[Tensor, Tensor]:
    """The eager attention of GPT-J in transformers 4.57; it keeps the scores in float32."""
    scores = query.float() @ key.float().mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores + mask
    weights = F.dropout(scores.softmax(dim=-1).to(value.dtype), dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


# By the names for `set_attn_implementation`; other implementations are a choice of the user's.
_FUNCTIONS: Mapping[str, Callable[..., tuple[Tensor, Tensor]]] = MappingProxyType(
    {"eager_of_copies": _of_copies, "eager_divided": _divided}
)
_NAMES: Mapping[str, str] = MappingProxyType(
    {"t5": "eager_of_copies", "mt5": "eager_of_copies", "gptj": "eager_divided"}
)
