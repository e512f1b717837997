"""What PEFT's overview of methods asks of each: it looks at classes, then tries them on a model of one linear layer.

PEFT builds the overview with `scripts/generate_method_capabilities.py`. The questions here are the same, in own words.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import pytest
import torch
from equations import METHODS, randomise
from peft import get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_MIXED_MODEL_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn

D = 16
X = torch.randn(4, D, generator=torch.Generator().manual_seed(0))
pytestmark = pytest.mark.parametrize("method", METHODS)


class OneLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(D, D)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


def adapted(method: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return randomise(get_peft_model(OneLayer(), METHODS[method](target_modules=["layer"], **options))).eval()


def layer_classes(method: str) -> list[type[BaseTunerLayer]]:
    """The classes that the overview looks at: those in the module of the model's `tuner_layer_cls`."""
    home = PEFT_TYPE_TO_TUNER_MAPPING[METHODS[method]().peft_type].tuner_layer_cls.__module__
    classes = [value for value in vars(sys.modules[home]).values() if isinstance(value, type)]
    return [kind for kind in classes if issubclass(kind, BaseTunerLayer) and kind.__module__ == home]


def test_it_is_a_registered_adapter_for_mixed_models_too(method: str) -> None:
    kind = METHODS[method]().peft_type
    assert PEFT_TYPE_TO_CONFIG_MAPPING[kind] is METHODS[method]
    assert issubclass(PEFT_TYPE_TO_TUNER_MAPPING[kind], BaseTuner)
    assert kind in PEFT_TYPE_TO_MIXED_MODEL_MAPPING
    assert {"modules_to_save", "trainable_token_indices"} <= {f.name for f in dataclasses.fields(METHODS[method])}


@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute:UserWarning")
def test_it_takes_several_adapters_and_their_weighted_sum(method: str) -> None:
    model = adapted(method)
    model.add_adapter("second", METHODS[method](target_modules=["layer"]))
    model.set_adapter("second")
    model.base_model.add_weighted_adapter(["default", "second"], [0.5, 0.5], "sum")
    model.set_adapter("sum")
    assert model(X).isfinite().all()


def test_a_batch_mixes_adapters(method: str) -> None:
    model = adapted(method)
    assert any(hasattr(kind, "_mixed_batch_forward") for kind in layer_classes(method))
    layer = model.base_model.model.layer
    with torch.no_grad():
        mixed = layer._mixed_batch_forward(X, adapter_names=["default", "__base__"] * 2)
        torch.testing.assert_close(mixed[::2], model(X)[::2])
        torch.testing.assert_close(mixed[1::2], layer.base_layer(X)[1::2])
        torch.testing.assert_close(model(X), layer(X))


def test_merging_is_answered_by_the_call(method: str) -> None:
    """A merge, or why not: NotImplementedError for methods that cannot, ValueError where the FFN is missing."""
    assert any(kind.merge is not BaseTunerLayer.merge for kind in layer_classes(method))
    model = adapted(method)
    if method == "parallel_adapter":
        with pytest.raises(ValueError, match="layer is not the FFN of a transformer block|No sites are known"):
            model.merge_and_unload()
        return
    with pytest.raises(NotImplementedError, match="non_linearity='identity'"):
        model.merge_and_unload()
    linear = adapted(method, non_linearity="identity")
    with torch.no_grad():
        before = linear(X)
        torch.testing.assert_close(linear.merge_and_unload()(X), before)


def test_no_adapter_becomes_one_of_lora(method: str) -> None:
    layer = adapted(method).base_model.model.layer
    assert not getattr(layer, "supports_lora_conversion", lambda name: False)("default")
