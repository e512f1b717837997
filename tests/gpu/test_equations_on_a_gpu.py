"""What holds on the CPU holds on a GPU: the equation, the no-op at init, gradients, saving, switching, folding."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, loss, on_gpu, output, randomise, without_dropout
from peft import PeftModel, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor

from peft_bottleneck import ParallelAdapterConfig

MODELS = ("bert", "llama", "gpt2", "opt", "t5", "mbart")
CLOSE = dict(atol=1e-4, rtol=1e-4)


def gradients(model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    loss(model(**inputs)[0]).backward()
    found = {name: p.grad.cpu() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", MODELS)
def test_computes_what_the_cpu_computes_and_follows_the_model(model_type: str, method: str) -> None:
    """Moved after a first call, there and back: a layer must not keep what it found on the other device."""
    model, inputs = (
        randomise(get_peft_model(tiny_model(model_type), METHODS[method]())).eval(),
        tiny_inputs(model_type),
    )
    expected, slopes = output(model, inputs), gradients(model, inputs)
    model.cuda()
    assert all(parameter.is_cuda for parameter in model.parameters())
    torch.testing.assert_close(output(model, on_gpu(inputs)).cpu(), expected, **CLOSE)
    found = gradients(model, on_gpu(inputs))
    assert found.keys() == slopes.keys()
    for name, gradient in slopes.items():
        torch.testing.assert_close(found[name], gradient, **CLOSE, msg=name)
    assert torch.equal(output(model.cpu(), inputs), expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", MODELS)
def test_is_made_where_the_base_lies_and_starts_as_a_no_op(model_type: str, method: str) -> None:
    base, inputs = tiny_model(model_type).cuda(), on_gpu(tiny_inputs(model_type))
    expected = output(base, inputs)
    model = get_peft_model(base, METHODS[method]()).eval()
    assert all(parameter.is_cuda for parameter in model.parameters())
    assert torch.equal(output(model, inputs), expected)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients(model, inputs).values())


@pytest.mark.parametrize("method", METHODS)
def test_is_saved_and_loaded_on_either_device(method: str, tmp_path: Path) -> None:
    inputs = on_gpu(tiny_inputs("bert"))
    model = randomise(get_peft_model(tiny_model("bert").cuda(), METHODS[method]())).eval()
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(tiny_model("bert").cuda(), tmp_path).eval()
    assert all(parameter.is_cuda for parameter in again.parameters())
    assert torch.equal(output(again, inputs), output(model, inputs))
    beside = PeftModel.from_pretrained(tiny_model("bert"), tmp_path, torch_device="cpu").eval()
    assert torch.equal(output(beside, tiny_inputs("bert")), output(model.cpu(), tiny_inputs("bert")))


@pytest.mark.parametrize("method", METHODS)
def test_several_adapters(method: str) -> None:
    """Switched, disabled, several at once, and one per row."""
    inputs = on_gpu(tiny_inputs("bert"))
    base = tiny_model("bert").cuda()
    plain = output(base, inputs)
    model = get_peft_model(base, METHODS[method](init_weights=False)).eval()
    model.add_adapter("other", METHODS[method](init_weights=False))
    assert all(parameter.is_cuda for parameter in model.parameters())
    alone = {}
    for name in ("default", "other"):
        model.set_adapter(name)
        alone[name] = output(model, inputs)
    with model.disable_adapter():
        assert torch.equal(output(model, inputs), plain)
    mixed = output(model, {**inputs, "adapter_names": ["other", "__base__", "default"]})  # type: ignore[dict-item]
    for row, expected in enumerate((alone["other"], plain, alone["default"])):
        torch.testing.assert_close(mixed[row], expected[row], **CLOSE)
    model.base_model.set_adapter(["default", "other"])
    both = output(model, inputs)
    model.cpu()
    torch.testing.assert_close(both.cpu(), output(model, tiny_inputs("bert")), **CLOSE)


@pytest.mark.parametrize("model_type", MODELS)
def test_folds(model_type: str) -> None:
    model = get_peft_model(tiny_model(model_type).cuda(), ParallelAdapterConfig(foldable=True)).eval()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "bias" not in name:
            torch.nn.init.normal_(parameter, std=0.1)
    inputs = on_gpu(tiny_inputs(model_type))
    expected = output(model, inputs)
    folded = model.merge_and_unload()
    assert not layers(folded)
    torch.testing.assert_close(output(folded, inputs), expected, **CLOSE)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # torch's own call
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_compiles_in_one_graph(model_type: str, method: str) -> None:
    torch._dynamo.reset()
    model = without_dropout(randomise(get_peft_model(tiny_model(model_type).cuda(), METHODS[method]()))).train()
    inputs = on_gpu({"input_ids": tiny_inputs(model_type)["input_ids"]})
    expected, slopes = model(**inputs)[0].detach().clone(), gradients(model, inputs)
    compiled = torch.compile(model, fullgraph=True)
    for _ in range(2):
        result = compiled(**inputs)[0]
        torch.testing.assert_close(result.detach().clone(), expected, **CLOSE)
        loss(result).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad.cpu() / 2, slopes[name], **CLOSE, msg=name)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature:UserWarning")
@pytest.mark.parametrize("method", METHODS)
def test_never_waits_for_the_device(method: str) -> None:
    """Where the base's own training step runs without the host waiting, the adapted one does too."""
    base = without_dropout(tiny_model("bert")).cuda()
    inputs = on_gpu({"input_ids": tiny_inputs("bert")["input_ids"]})
    models = [copy.deepcopy(base), randomise(get_peft_model(base, METHODS[method]())).train()]
    for model in models:
        for debug in ("default", "error"):  # the first round makes handles and workspaces
            torch.cuda.set_sync_debug_mode(debug)
            try:
                loss(model(**inputs)[0]).backward()
            finally:
                torch.cuda.set_sync_debug_mode("default")
