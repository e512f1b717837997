"""Invertible adapters: their equation, their inverse, and their life as a part of an adapter."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, loss, output, randomise
from peft import PeftModel, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck.bottleneck import activation
from peft_bottleneck.coupling import COUPLINGS, Coupling, build_nets
from peft_bottleneck.coupling_layer import CouplingLayer

# The end of the embeddings is of another kind in each: a module with a norm, a smaller one, a dropout, the tokens
# alone, a scaled embedding, the encoder's norm, the encoder's own embedding.
LANGUAGE_MODELS = {
    "bert": AutoModelForMaskedLM,
    "albert": AutoModelForMaskedLM,
    "gpt2": AutoModelForCausalLM,
    "llama": AutoModelForCausalLM,
    "gemma2": AutoModelForCausalLM,
    "bart": AutoModelForSeq2SeqLM,
    "t5": AutoModelForSeq2SeqLM,
    "encoder-decoder": AutoModelForSeq2SeqLM,
}


def couplings(model: nn.Module) -> list[CouplingLayer]:
    return [module for module in model.modules() if isinstance(module, CouplingLayer)]


def adapted(model_type: str = "bert", name: str = "default", **fields: Any) -> PeftModel:
    base = tiny_model(model_type, LANGUAGE_MODELS[model_type])
    config = PfeifferConfig(**{"invertible": "nice", "init_weights": False, **fields})
    return randomise(get_peft_model(base, config, adapter_name=name)).eval()  # type: ignore[return-value]


@pytest.mark.parametrize("features", [8, 7])
@pytest.mark.parametrize("kind", COUPLINGS)
def test_equation(kind: str, features: int) -> None:
    torch.manual_seed(0)
    maps = build_nets(kind, features, 2)
    x, coupling = torch.randn(3, 5, features), Coupling(kind, activation("tanh"))

    def net(name: str, z: Tensor) -> Tensor:
        return maps[f"{name}_up"](torch.tanh(maps[f"{name}_down"](z)))

    def shifted(z: Tensor, by: Tensor) -> Tensor:
        if kind == "nice":
            return z + by
        scale, shift = by[..., : z.shape[-1]], by[..., z.shape[-1] :]
        return torch.exp(5 * 0.636 * torch.atan(scale / 5)) * z + shift

    x1, x2 = x[..., : features // 2], x[..., features // 2 :]
    y1 = shifted(x1, net("f", x2))
    y2 = shifted(x2, net("g", y1))
    y = coupling.forward(x, maps)
    torch.testing.assert_close(y, torch.cat((y1, y2), -1))
    torch.testing.assert_close(coupling.inverse(y, maps), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", COUPLINGS)
@pytest.mark.parametrize("model_type", LANGUAGE_MODELS)
def test_no_op_at_the_start(model_type: str, kind: str) -> None:
    base, inputs = tiny_model(model_type, LANGUAGE_MODELS[model_type]), tiny_inputs(model_type)
    plain = output(base, inputs)
    model = get_peft_model(base, PfeifferConfig(invertible=kind)).eval()
    assert torch.equal(output(model, inputs), plain)
    assert len(couplings(model)) == 1


@pytest.mark.parametrize("model_type", LANGUAGE_MODELS)
def test_after_the_embeddings_and_before_the_output(model_type: str) -> None:
    """The same as mapping by hand what the embeddings return, and back what the output embeddings read."""
    model, inputs = adapted(model_type), tiny_inputs(model_type)
    expected = output(model, inputs)
    (layer,) = couplings(model)
    coupling, parts = layer.couplings["default"], layer.parts("default")
    base = model.get_base_model()
    head = base.get_output_embeddings()
    layer.before_output.remove()
    layer.couplings = {}
    layer.register_forward_hook(lambda module, args, result: coupling.forward(result, parts))
    without = output(model, inputs)
    head.register_forward_pre_hook(lambda module, args: (coupling.inverse(args[0], parts),))
    torch.testing.assert_close(output(model, inputs), expected)
    assert not torch.allclose(without, expected, atol=1e-2)


def test_gradients_only_where_they_belong() -> None:
    model, inputs = adapted("bert"), tiny_inputs("bert")
    loss(model(**inputs)[0]).backward()
    moved = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved == {name for name, _ in model.named_parameters() if ".pfeiffer_" in name}
    assert {name.split(".pfeiffer_")[1] for name in moved if "embeddings" in name} == {
        f"{part}.default.{kind}" for part in ("f_down", "f_up", "g_down", "g_up") for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded(method: str, tmp_path: Path) -> None:
    config = METHODS[method](invertible="glow", invertible_reduction_factor=4, init_weights=False)
    model = randomise(get_peft_model(tiny_model("bert", AutoModelForMaskedLM), config, adapter_name="de")).eval()
    inputs = tiny_inputs("bert")
    expected = output(model, inputs)
    model.save_pretrained(tmp_path)
    base = tiny_model("bert", AutoModelForMaskedLM)
    loaded = PeftModel.from_pretrained(base, tmp_path / "de", adapter_name="en", is_trainable=True).eval()
    assert torch.equal(output(loaded, inputs), expected)
    direct = tiny_model("bert", AutoModelForMaskedLM)
    direct.load_adapter(str(tmp_path / "de"), adapter_name="fr")
    torch.testing.assert_close(output(direct.eval(), inputs), expected)
    empty = tiny_model("bert", AutoModelForMaskedLM)
    low = PeftModel.from_pretrained(empty, tmp_path / "de", low_cpu_mem_usage=True, is_trainable=True).eval()
    assert torch.equal(output(low, inputs), expected)


def test_switched_disabled_and_unloaded() -> None:
    model, inputs = adapted(name="de"), tiny_inputs("bert")
    german = output(model, inputs)
    model.add_adapter("plain", PfeifferConfig(init_weights=False))
    model.add_adapter("en", PfeifferConfig(invertible="glow", init_weights=False))
    model.set_adapter("plain")
    assert not torch.allclose(output(model, inputs), german, atol=1e-3)
    model.set_adapter("de")
    assert torch.equal(output(model, inputs), german)
    plain = output(tiny_model("bert", AutoModelForMaskedLM), inputs)
    with model.disable_adapter():
        assert torch.equal(output(model, inputs), plain)
    model.set_adapter("en")
    model.delete_adapter("de")
    assert set(couplings(model)[0].couplings) == {"en"}
    base = model.unload()
    assert torch.equal(output(base, inputs), plain)
    assert not base.get_output_embeddings()._forward_pre_hooks
    assert not couplings(base)


def test_stacked_with_a_task_adapter() -> None:
    """The language adapter comes first, in every block too; the task adapter has no coupling of its own."""
    model, inputs = adapted(name="language"), tiny_inputs("bert")
    model.add_adapter("task", PfeifferConfig(init_weights=False))
    model.base_model.set_adapter(["language", "task"])
    both = output(model, inputs)
    # Two couplings map in turn, and back in the opposite order, so that one of zero effect changes nothing.
    model.add_adapter("nothing", PfeifferConfig(invertible="nice"))
    model.base_model.set_adapter(["language", "nothing", "task"])
    torch.testing.assert_close(output(model, inputs), both)
    (layer,) = couplings(model)
    x = torch.randn(2, 3, 32)
    with torch.no_grad():
        for part in layer.parts("nothing").values():
            nn.init.normal_(part.weight, std=0.3)
        torch.testing.assert_close(layer.inverse(layer._map(x)), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model_type", ["bert", "bart", "gpt2"])
def test_an_adapter_for_each_row(model_type: str) -> None:
    model, inputs = adapted(model_type, name="de"), tiny_inputs(model_type)
    model.add_adapter("en", PfeifferConfig(invertible="glow", init_weights=False))
    rows = ["de", "__base__", "en"]
    mixed = model(**inputs, adapter_names=rows)[0]
    for number, name in enumerate(rows):
        row = {key: value[number : number + 1] for key, value in inputs.items()}
        if name == "__base__":
            with model.disable_adapter():
                expected = output(model, row)
        else:
            model.set_adapter(name)
            expected = output(model, row)
        torch.testing.assert_close(mixed[number : number + 1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("saved", ["cls", "cls.predictions.decoder"])
@pytest.mark.parametrize("head_first", [False, True])
def test_in_copies_of_the_head(saved: str, head_first: bool) -> None:
    """PEFT copies modules that it trains in full: the copy maps back as the original does."""
    inputs = tiny_inputs("bert")
    reference = output(adapted(name="de"), inputs)
    if head_first:
        model = get_peft_model(
            tiny_model("bert", AutoModelForMaskedLM), PfeifferConfig(modules_to_save=[saved]), adapter_name="head"
        )
        model.add_adapter("de", PfeifferConfig(invertible="nice", init_weights=False))
        model.set_adapter("de")
        randomise(model)
        assert torch.equal(output(model.eval(), inputs), reference)
        model.base_model.set_adapter(["de", "head"])
        torch.testing.assert_close(output(model, inputs), reference)  # a fresh copy computes what the original does
        return
    config = PfeifferConfig(invertible="nice", init_weights=False, modules_to_save=[saved])
    model = get_peft_model(tiny_model("bert", AutoModelForMaskedLM), config, adapter_name="de")
    source = adapted(name="de").state_dict()
    for name, parameter in model.named_parameters():
        if ".pfeiffer_" in name:
            parameter.data.copy_(source[name])
    torch.testing.assert_close(output(model.eval(), inputs), reference)


def test_a_copy_of_the_model_is_another_model() -> None:
    model, inputs = adapted(), tiny_inputs("bert")
    expected = output(model, inputs)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for part in couplings(model)[0].parts("default").values():
            part.weight.zero_()
    assert torch.equal(output(copied, inputs), expected)
    assert couplings(copied)[0].before_output.layer is couplings(copied)[0]
    assert couplings(copied)[0].before_output.model is copied.get_base_model()


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
def test_gradient_checkpointing_and_half_precision() -> None:
    model, inputs = adapted(), tiny_inputs("bert")
    expected = output(model, inputs)
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    loss(model(**inputs)[0]).backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    loss(model(**inputs)[0]).backward()
    for name, parameter in model.named_parameters():
        if name in plain:
            torch.testing.assert_close(parameter.grad, plain[name])
    base = tiny_model("bert", AutoModelForMaskedLM).to(torch.bfloat16)
    half = randomise(get_peft_model(base, PfeifferConfig(invertible="nice", init_weights=False))).eval()
    assert output(half, inputs).dtype is torch.bfloat16
    torch.testing.assert_close(output(half, inputs).float(), expected, rtol=0.1, atol=0.5)


def test_all_blocks_but_the_last() -> None:
    """MAD-X 2.0 leaves the last block out; the coupling stays."""
    model = get_peft_model(tiny_model("bert"), PfeifferConfig(invertible="nice", layers_to_transform=[0]))
    adapted_blocks = {name.split(".layer.")[1][0] for name, _ in model.named_parameters() if ".pfeiffer_down" in name}
    assert adapted_blocks == {"0"}
    assert len(couplings(model)) == 1


def test_weighted_sum() -> None:
    model = adapted(name="a")
    model.add_adapter("b", PfeifferConfig(invertible="nice", init_weights=False))
    model.base_model.add_weighted_adapter(["a", "b"], [0.25, 0.75], "both")
    parts = {name: couplings(model)[0].parts(name) for name in ("a", "b", "both")}
    for name, part in parts["both"].items():
        expected = 0.25 * parts["a"][name].weight + 0.75 * parts["b"][name].weight
        torch.testing.assert_close(part.weight, expected)
    model.add_adapter("c", PfeifferConfig(init_weights=False))
    with pytest.raises(ValueError, match=r"differ in invertible: \['nice', None\]"):
        model.base_model.add_weighted_adapter(["a", "c"], [1, 1], "all")


def test_refusals() -> None:
    with pytest.raises(ValueError, match="invertible must be one of None, 'nice', 'glow', got 'flow'"):
        PfeifferConfig(invertible="flow")
    with pytest.raises(ValueError, match="invertible_reduction_factor must be a number above 0, got 0"):
        PfeifferConfig(invertible="nice", invertible_reduction_factor=0)
    with pytest.raises(ValueError, match="invertible_modules='nowhere' must match one module of BertModel, got none"):
        get_peft_model(tiny_model("bert"), PfeifferConfig(invertible="nice", invertible_modules="nowhere"))
    with pytest.raises(ValueError, match="must match one module of .* got encoder.layer.0, encoder.layer.1"):
        get_peft_model(tiny_model("bert"), PfeifferConfig(invertible="nice", invertible_modules=r".*layer\.\d"))
    with pytest.raises(ValueError, match="Linear has no token embeddings; set invertible_modules"):
        get_peft_model(nn.Sequential(nn.Linear(4, 4))[0], HoulsbyConfig(target_modules="x", invertible="nice"))
    model = get_peft_model(tiny_model("bert"), ParallelAdapterConfig(invertible="nice", foldable=True))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with pytest.raises(ValueError, match="no weights of the FFN compute invertible='nice'; leave it out"):
        model.merge_adapter()
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    replica = get_peft_model(tiny_model("bert", AutoModelForMaskedLM), PfeifferConfig(invertible="nice"))
    head = replica.get_base_model().get_output_embeddings()
    head._is_replica = True
    with pytest.raises(RuntimeError, match="does not work under nn.DataParallel"):
        replica(**tiny_inputs("bert"))


def test_another_place() -> None:
    """Any module will do: Whisper's encoder has no embeddings, and AdapterHub's library takes its last norm."""
    model = get_peft_model(
        tiny_model("whisper", AutoModel),
        PfeifferConfig(invertible="nice", invertible_modules=r".*encoder\.layer_norm"),
    )
    assert [name for name, module in model.get_base_model().named_modules() if isinstance(module, CouplingLayer)] == [
        "encoder.layer_norm"
    ]
