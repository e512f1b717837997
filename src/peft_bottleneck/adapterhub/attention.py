"""T5's attention in the order of AdapterHub's library, whose rounding the softmax of a fusion magnifies.

The library copies queries, keys and values before it multiplies them, and torch multiplies copies in another order
than views of one tensor. With the copies, a loaded fusion agrees with the library to the last bit.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "eager_of_copies"  # for `set_attn_implementation`
_MODEL_TYPES = ("t5", "mt5")  # the others scale their scores, and need nothing of the kind
_REPLACED = ("eager", "sdpa", NAME)  # others are a choice of the user's, and not to be had on every device


def attend_in_the_order_of_the_library(base: PreTrainedModel) -> None:
    """Makes a T5 copy queries, keys and values; `base.set_attn_implementation("sdpa")` undoes that.

    Other families, and transformers before 5, where a T5 has one attention alone, are left as they are.
    """
    choosable = hasattr(sys.modules[type(base).__module__], "eager_attention_forward")
    if base.config.model_type in _MODEL_TYPES and choosable and base.config._attn_implementation in _REPLACED:
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        ALL_ATTENTION_FUNCTIONS.register(NAME, _of_copies)
        ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, eager_mask)
        base.set_attn_implementation(NAME)


def _of_copies(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor]:
    """The eager attention of the module's own file."""
    attention = sys.modules[type(module).__module__].eager_attention_forward
    result: tuple[Tensor, Tensor] = attention(
        module, query.contiguous(), key.contiguous(), value.contiguous(), mask, **options
    )
    return result
