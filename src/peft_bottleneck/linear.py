"""Linear layers without the calls around them.

Between two layers the weights of a base model pass through the processor's caches, so that every Python object on the
way to a small product is fetched from main memory again: for one short text, a call of `nn.Linear` costs more than
what it computes. So the call is left out where nobody could tell.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules.module import _has_any_global_hook as has_global_hooks

_Linear = nn.Linear


def unheard(*modules: nn.Module) -> bool:
    """Whether all are plain `nn.Linear` whose calls nobody listens to, so that `_parameters` tells all of them.

    A call has to be made where sharding, offloading or quantisation has put another class or another `forward` in
    place, hooks are waiting, or `nn.DataParallel` has moved the parameters out of their dictionary.
    """
    for module in modules:
        own = module.__dict__  # attribute access asks the class and its bases first
        if (
            type(module) is not _Linear
            or own["_forward_pre_hooks"]
            or own["_forward_hooks"]
            or own["_backward_pre_hooks"]
            or own["_backward_hooks"]
            or "weight" not in own["_parameters"]
            or "bias" not in own["_parameters"]
            or "forward" in own
        ):
            return False
    return not has_global_hooks()  # type: ignore[no-untyped-call]
