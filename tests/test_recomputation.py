"""Gradient checkpointing in both modes, and torch.compile, change nothing; nothing is held between calls."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise, without_dropout
from peft import get_peft_model
from tiny_models import tiny_inputs, tiny_model

from peft_bottleneck import ParallelAdapterConfig

# The name that both transformers 4 and 5 know.
pytestmark = pytest.mark.filterwarnings("ignore:.gradient_checkpointing_(en|dis)able. is deprecated:FutureWarning")

# The input of one module plus the output of another in between: GPT-J's residual stream plus its attention's output.
SUM = {"target_modules": r"(?P<block>.*h\.\d+)\.mlp", "input_modules": r"\g<block>.ln_1+\g<block>.attn"}
CASES: dict[str, Any] = METHODS | {"residual": lambda: ParallelAdapterConfig(parallel_input="residual")}
ALL = CASES | {"sum": lambda: ParallelAdapterConfig(**SUM)}
FAMILIES = ("bert", "opt", "llama", "t5", "bart", "gpt2")


def gradients(model_type: str, case: str, use_reentrant: bool | None) -> dict[str, torch.Tensor]:
    model = without_dropout(randomise(get_peft_model(tiny_model(model_type), ALL[case]()))).train()
    base = model.base_model.model
    if use_reentrant is not None:
        base.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
        base.enable_input_require_grads()
        assert any(getattr(module, "gradient_checkpointing", False) for module in base.modules())
    cache = {} if model_type == "bert" else {"use_cache": False}
    model(**tiny_inputs(model_type), **cache)[0].square().mean().backward()
    assert not any(tap.held for layer in layers(model) for tap in layer.taps.values())
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize(
    ("model_type", "case"),
    [*((family, case) for family in FAMILIES for case in CASES), ("gptj", "sum")],
)
def test_gradient_checkpointing(model_type: str, case: str, use_reentrant: bool) -> None:
    plain = gradients(model_type, case, None)
    recomputed = gradients(model_type, case, use_reentrant)
    assert recomputed.keys() == plain.keys()
    for name, gradient in plain.items():
        assert bool(gradient.any()), name
        torch.testing.assert_close(recomputed[name], gradient, msg=lambda text, name=name: f"{name}: {text}")


def kept(model: Any, inputs: dict[str, torch.Tensor]) -> list[tuple[int, ...]]:
    """Shapes of the activations that a forward pass keeps for the backward pass, without what is recomputed."""
    shapes: list[tuple[int, ...]] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 3 and tensor.is_floating_point():
            shapes.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(**inputs)
    return sorted(shapes)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model_type", FAMILIES)
def test_checkpointed_blocks_keep_nothing_of_the_adapter(model_type: str, case: str, use_reentrant: bool) -> None:
    base = without_dropout(tiny_model(model_type)).train()
    base.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    base.enable_input_require_grads()
    inputs = tiny_inputs(model_type) | ({} if model_type == "bert" else {"use_cache": False})
    expected = kept(base.requires_grad_(False), inputs)
    model = get_peft_model(base, CASES[case]())
    assert kept(model, inputs) == expected
    base.gradient_checkpointing_disable()
    assert len(kept(model, inputs)) > len(expected)
    base.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    assert kept(model, inputs) == expected
    base.requires_grad_(False)
    assert kept(model.unload(), inputs) == expected


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model_type", ["bert", "opt", "llama"])
def test_compiles_in_one_graph(model_type: str, case: str) -> None:
    torch._dynamo.reset()
    model = randomise(get_peft_model(tiny_model(model_type), CASES[case]())).eval()
    inputs = tiny_inputs(model_type)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(output(compiled, inputs), output(model, inputs))
    assert not any(tap.held for layer in layers(model) for tap in layer.taps.values())


def test_a_call_that_fails_between_read_and_write_leaves_no_trace_in_the_next() -> None:
    model = randomise(get_peft_model(tiny_model("opt"), ParallelAdapterConfig())).eval()
    inputs = tiny_inputs("opt")
    expected = output(model, inputs)
    handle = model.base_model.model.decoder.layers[1].activation_fn.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        output(model, inputs)
    handle.remove()
    assert torch.equal(output(model, inputs), expected)
    assert not any(tap.held for layer in layers(model) for tap in layer.taps.values())


def test_the_write_without_the_read_is_named() -> None:
    model = get_peft_model(tiny_model("opt"), ParallelAdapterConfig())
    with pytest.raises(RuntimeError, match=r"decoder.layers.0.fc1 has not run before"):
        model.base_model.model.decoder.layers[0].fc2(torch.zeros(1, 64))


def test_a_tapped_sum() -> None:
    """The hooks of both modules go away with the adapter."""
    base, inputs = tiny_model("gptj"), tiny_inputs("gptj")
    plain = output(base, inputs)
    model = randomise(get_peft_model(base, ALL["sum"]())).eval()
    block, layer = base.h[0], layers(model)[0]
    seen: dict[str, torch.Tensor] = {}
    block.register_forward_pre_hook(lambda module, args: seen.update(stream=args[0]))
    block.attn.register_forward_hook(lambda module, args, result: seen.update(attention=result[0]))
    layer.register_forward_hook(lambda module, args, result: seen.update(ffn=args[0], written=result))
    output(model, inputs)
    x = seen["stream"] + seen["attention"]
    maps = layer.maps("default")
    expected = layer.base_layer(seen["ffn"]) + 4 * maps["up"](torch.relu(maps["down"](x)))
    torch.testing.assert_close(seen["written"], expected)
    assert torch.equal(output(model.unload(), inputs), plain)
    assert len(block.ln_1._forward_pre_hooks) == 0
    assert len(block.attn._forward_hooks) == 1
