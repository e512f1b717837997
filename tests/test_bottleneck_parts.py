"""What a bottleneck has beside its maps: a gate, norms, stochastic depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, loss, output, randomise
from peft import PeftModel, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor, nn

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig, fuse

FIELDS: dict[str, dict[str, Any]] = {
    "gating": {"use_gating": True},
    "ln_before": {"ln_before": True},
    "ln_after": {"ln_after": True, "scaling": 3.0},
    "adapter+": {"stochastic_depth": 0.1, "scaling": "channel", "init_method": "houlsby", "non_linearity": "gelu"},
    "all": {
        "use_gating": True,
        "ln_before": True,
        "ln_after": True,
        "scaling": "learned",
        "bottleneck": "gated",
        "phm_dim": 2,
    },
}


class Wrapped(nn.Module):
    """A module with a linear map on `[batch, tokens, 6]`."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_equation(fields: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = HoulsbyConfig(target_modules="linear", bottleneck_size=4, **{"non_linearity": "tanh", **fields})
    model = randomise(get_peft_model(Wrapped(), config)).eval()
    (layer,) = layers(model)
    parts = layer.parts("default")
    x = torch.randn(3, 5, 6)
    y = layer.base_layer(x)
    z = parts["norm_before"](y) if "ln_before" in fields else y
    phi = torch.tanh if "non_linearity" not in fields else nn.functional.gelu
    hidden = phi(parts["gate"](z)) * parts["down"](z) if "bottleneck" in fields else phi(parts["down"](z))
    delta = parts["up"](hidden)
    scaling = fields.get("scaling", 1.0)
    delta = delta * (layer.houlsby_scaling["default"] if isinstance(scaling, str) else scaling)
    if "use_gating" in fields:
        gates = torch.sigmoid(parts["gating"](y))
        delta = delta * torch.stack([rows.mean() for rows in gates])[:, None, None]
    if "ln_after" in fields:
        delta = parts["norm_after"](delta)
    torch.testing.assert_close(model(x), y + delta)


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("method", METHODS)
def test_life(method: str, fields: dict[str, Any], tmp_path: Path) -> None:
    """An exact no-op at first; then every parameter moves; saved and loaded it is the same, in a mixed batch too."""
    torch.manual_seed(0)
    inputs = tiny_inputs("bert")
    plain = output(tiny_model("bert"), inputs)
    config = METHODS[method](bottleneck_size=8, **fields)
    model = get_peft_model(tiny_model("bert"), config, adapter_name="other").eval()
    assert torch.equal(output(model, inputs), plain)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    before = {name: parameter.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}
    for _ in range(3):
        loss(model(**inputs)[0]).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = dict(model.named_parameters())
    assert all(not torch.equal(after[name], value) for name, value in before.items())
    expected = output(randomise(model), inputs)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model("bert"), tmp_path / "other", is_trainable=True).eval()
    assert torch.equal(output(loaded, inputs), expected)
    direct = tiny_model("bert")
    direct.load_adapter(str(tmp_path / "other"))
    torch.testing.assert_close(output(direct.eval(), inputs), expected)
    model.add_adapter("second", METHODS[method](bottleneck_size=8, init_weights=False))
    mixed = model(**inputs, adapter_names=["second", "other", "__base__"])[0]
    torch.testing.assert_close(mixed[1], expected[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mixed[2], plain[2], rtol=1e-4, atol=1e-5)


def test_stochastic_depth_leaves_whole_examples_out_in_training_only() -> None:
    torch.manual_seed(0)
    config = HoulsbyConfig(target_modules="linear", bottleneck_size=4, stochastic_depth=0.25)
    model = randomise(get_peft_model(Wrapped(), config))
    x = torch.randn(4000, 2, 6)
    with torch.no_grad():
        y, delta = model.base_model.model.linear.base_layer(x), model.eval()(x)
        delta = delta - y
        trained = model.train()(x) - y
    kept = trained.abs().sum(dim=(1, 2)) > 0
    torch.testing.assert_close(trained[kept], delta[kept] / 0.75, rtol=1e-4, atol=1e-5)
    assert abs(kept.float().mean().item() - 0.75) < 0.03


@pytest.mark.parametrize("fields", [{"use_gating": True}, {"stochastic_depth": 0.5}])
def test_tokens_in_a_row_are_refused(fields: dict[str, Any]) -> None:
    """Where all tokens are in a row, nothing tells the examples apart."""
    config = HoulsbyConfig(target_modules="linear", bottleneck_size=4, **fields)
    model = get_peft_model(Wrapped(), config).train()
    with pytest.raises(ValueError, match=r"tell the examples apart; this model computes on \[8, \d\] here"):
        model(torch.randn(8, 6))


@pytest.mark.parametrize("name", ["use_gating", "ln_before", "ln_after"])
def test_not_foldable(name: str) -> None:
    model = get_peft_model(tiny_model("bert"), ParallelAdapterConfig(foldable=True, **{name: True}))
    with pytest.raises(ValueError, match=f"no weights of the FFN compute {name}=True; leave it out"):
        model.merge_adapter()


def test_stochastic_depth_folds() -> None:
    config = ParallelAdapterConfig(foldable=True, stochastic_depth=0.2)
    model = randomise(get_peft_model(tiny_model("bert"), config)).eval()
    inputs = tiny_inputs("bert")
    expected = output(model, inputs)
    torch.testing.assert_close(output(model.merge_and_unload(), inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"use_gating": 1}, "use_gating must be True or False, got 1"),
        ({"ln_after": "yes"}, "ln_after must be True or False, got 'yes'"),
        ({"stochastic_depth": 1.0}, r"stochastic_depth must be a number in \[0, 1\), got 1.0"),
        ({"shared_phm_rule": None}, "shared_phm_rule must be True or False, got None"),
    ],
)
def test_bad_values(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PfeifferConfig(**fields)


def test_a_norm_over_the_sum() -> None:
    """`LN(y + B(y))`, and what it does not go with."""
    torch.manual_seed(0)
    config = HoulsbyConfig(
        target_modules="linear", bottleneck_size=4, ln_after=True, adapter_residual_before_ln=True, scaling=0.5
    )
    model = randomise(get_peft_model(Wrapped(), config)).eval()
    (layer,) = layers(model)
    parts = layer.parts("default")
    x = torch.randn(3, 5, 6)
    y = layer.base_layer(x)
    expected = parts["norm_after"](y + 0.5 * parts["up"](nn.functional.silu(parts["down"](y))))
    torch.testing.assert_close(model(x), expected)
    with pytest.raises(ValueError, match="adapter_residual_before_ln=True needs ln_after=True"):
        HoulsbyConfig(adapter_residual_before_ln=True)
    with pytest.raises(ValueError, match="a parallel bottleneck has no residual connection of its own"):
        ParallelAdapterConfig(adapter_residual_before_ln=True, ln_after=True)
    model.add_adapter("other", config)
    with pytest.raises(ValueError, match="adapter_residual_before_ln=True, which a composition does not cover"):
        fuse(model, ["default", "other"], "both")
