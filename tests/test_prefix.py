"""Outputs and gradients with the frozen blocks' output from a store are those without."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from equations import METHODS, randomise, without_dropout
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from tiny_models import ENCODER_DECODERS, tiny_inputs, tiny_model
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)
from transformers.models.bert.modeling_bert import BertLayer

from peft_bottleneck import FrozenPrefix, reuse_prefix

ENCODERS = ("bert", "roberta", "distilbert", "electra", "deberta-v2", "modernbert", "mpnet")
DECODERS = ("llama", "gpt2", "gemma", "gemma3_text", "gpt_neox", "opt", "bloom", "gpt_neo")
WITH_ENCODER = ("t5", "umt5", "longt5", "bart", "marian")


def tiny(model_type: str, auto_class: Any = AutoModel, **changes: Any) -> Any:
    """Three blocks, no dropout, no cache: what a cache does to the layout of keys changes the last bits."""
    config = {"n_layer": 3} if model_type in ("gpt2", "bloom") else {"num_hidden_layers": 3}
    config = {"n_layers": 3} if model_type == "distilbert" else config
    if model_type == "gpt_neo":
        config = {"num_layers": 3, "attention_types": [[["global", "local", "global"], 1]]}
    if model_type in ENCODER_DECODERS:
        config = {"encoder_layers": 3} if "t5" not in model_type else {"num_layers": 3}
    return without_dropout(tiny_model(model_type, auto_class, **config, use_cache=False, **changes))


def with_adapter(model: Any, method: str, blocks: list[int], **options: Any) -> Any:
    if method == "lora":
        options["fan_in_fan_out"] = model.config.model_type == "gpt2"
        return randomise(get_peft_model(model, LoraConfig(r=4, layers_to_transform=blocks, **options)))
    return randomise(get_peft_model(model, METHODS[method](layers_to_transform=blocks, **options)))


def tensors(output: Any, mask: Tensor) -> list[Tensor]:
    """What a call returned, at the positions that are no padding."""
    found = [value for value in output.values() if isinstance(value, Tensor)]
    return [value[mask.bool()] if value.shape[:2] == mask.shape else value for value in found]


def assert_same(output: Any, expected: Any, inputs: dict[str, Tensor]) -> None:
    mask = inputs.get("attention_mask", torch.ones(0, 0))
    found, wanted = tensors(output, mask), tensors(expected, mask)
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)


def with_targets(model_type: str) -> dict[str, Tensor]:
    inputs = tiny_inputs(model_type)
    if model_type in ENCODER_DECODERS:
        return {**inputs, "labels": inputs.pop("decoder_input_ids")}
    if model_type in DECODERS:
        return {**inputs, "labels": inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)}
    return {**inputs, "labels": torch.tensor([0, 1, 1])}


def head_class(model_type: str) -> Any:
    if model_type in ENCODER_DECODERS:
        return AutoModelForSeq2SeqLM
    return AutoModelForCausalLM if model_type in DECODERS else AutoModelForSequenceClassification


def gradients(model: Any, inputs: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    output = model(**inputs)
    output.loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return output, found


@pytest.mark.parametrize("model_type", [*ENCODERS, *DECODERS, *WITH_ENCODER])
def test_outputs_and_gradients_are_equal(model_type: str, tmp_path: Path) -> None:
    """Bit for bit: the first call stores, the second reads; then a training step in training mode."""
    model = with_adapter(tiny(model_type, head_class(model_type)), "houlsby", [2])
    inputs = with_targets(model_type)
    with torch.no_grad():
        expected = model(**inputs)
    loss, wanted = gradients(model.train(), inputs)
    model.eval()
    with reuse_prefix(model, tmp_path) as prefix:
        assert prefix.blocks == 2
        with torch.no_grad():
            assert_same(model(**inputs), expected, inputs)
            assert (prefix.rows_computed, prefix.rows_read) == (3, 0)
            assert_same(model(**inputs), expected, inputs)
            assert (prefix.rows_computed, prefix.rows_read) == (3, 3)
        output, found = gradients(model.train(), inputs)
        assert (prefix.rows_computed, prefix.rows_read, prefix.plain_calls) == (3, 6, 0)
    assert_same(output, loss, inputs)
    assert found.keys() == wanted.keys()
    assert all("2" in name.split(".") for name in found)
    for name, gradient in wanted.items():
        assert torch.equal(found[name], gradient), name
    with torch.no_grad():
        assert_same(model.eval()(**inputs), expected, inputs)


@pytest.mark.parametrize("model_type", ["bert", "llama", "gpt2"])
@pytest.mark.parametrize("method", ["pfeiffer", "parallel_adapter", "lora"])
def test_other_methods(method: str, model_type: str, tmp_path: Path) -> None:
    model = with_adapter(tiny(model_type, head_class(model_type)), method, [1, 2])
    inputs = with_targets(model_type)
    expected, wanted = gradients(model.train(), inputs)
    with reuse_prefix(model, tmp_path) as prefix:
        assert prefix.blocks == 1
        for _ in range(2):
            output, found = gradients(model, inputs)
            assert_same(output, expected, inputs)
            assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())
    assert (prefix.rows_computed, prefix.rows_read) == (3, 3)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "modernbert", "llama", "gpt2", "t5", "bart"])
def test_with_a_trained_head_all_blocks_are_prefix(model_type: str, tmp_path: Path) -> None:
    model = tiny(model_type, AutoModelForSequenceClassification, pad_token_id=0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in ("classif", "score", "pooler", "head.dense")))
    inputs = tiny_inputs(model_type)
    inputs.pop("decoder_input_ids", None)
    if model_type in ("t5", "bart"):
        inputs["input_ids"][:, -1] = inputs["input_ids"][1, 6] = model.config.eos_token_id
    inputs["input_ids"] = inputs["input_ids"] * inputs["attention_mask"]  # heads look for the id of padding
    inputs["labels"] = torch.tensor([0, 1, 1])
    expected, wanted = gradients(model.train(), inputs)
    assert wanted
    with reuse_prefix(model, tmp_path) as prefix:
        assert prefix.blocks == 3
        for _ in range(2):
            output, found = gradients(model, inputs)
            assert_same(output, expected, inputs)
            assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())
    assert prefix.rows_read == 3


def test_images(tmp_path: Path) -> None:
    model = with_adapter(tiny("vit"), "pfeiffer", [1])
    inputs = tiny_inputs("vit")
    with torch.no_grad():
        expected = model(**inputs)
        with reuse_prefix(model, tmp_path) as prefix:
            assert_same(model(**inputs), expected, inputs)
            assert_same(model(**inputs), expected, inputs)
    assert prefix.rows_read == 3


def test_dropout_is_off_in_frozen_blocks_alone(tmp_path: Path) -> None:
    model = with_adapter(tiny_model("bert", num_hidden_layers=3, hidden_dropout_prob=0.5), "houlsby", [2])
    inputs = tiny_inputs("bert")
    seen: list[Tensor] = []
    model.get_base_model().encoder.layer[2].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        model.eval()(**inputs)
        with reuse_prefix(model, tmp_path):
            first, second = (model.train()(**inputs).last_hidden_state for _ in range(2))
    mask = inputs["attention_mask"].bool()
    assert torch.equal(seen[-1][mask], seen[0][mask])
    assert not torch.equal(first[mask], second[mask])  # the upper block still drops
    assert all(module.training for module in model.modules())


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("model_type", ["bert", "llama", "t5"])
def test_gradient_checkpointing(model_type: str, reentrant: bool, tmp_path: Path) -> None:
    model = with_adapter(tiny(model_type, head_class(model_type)), "pfeiffer", [1, 2])
    inputs = with_targets(model_type)
    expected, wanted = gradients(model.train(), inputs)
    model.enable_input_require_grads()  # which reentrant checkpointing needs
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    with reuse_prefix(model, tmp_path):
        for _ in range(2):
            output, found = gradients(model, inputs)
            assert torch.equal(output.loss, expected.loss)
            assert found.keys() == wanted.keys()
            for name, gradient in wanted.items():
                torch.testing.assert_close(found[name], gradient)


def test_autocast_has_a_store_of_its_own(tmp_path: Path) -> None:
    model = with_adapter(tiny("bert"), "houlsby", [2])
    inputs = tiny_inputs("bert")
    with torch.no_grad(), reuse_prefix(model, tmp_path) as prefix:
        model(**inputs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            computed, read = model(**inputs), model(**inputs)
        assert_same(read, computed, inputs)
        assert prefix.rows_computed == 6
    assert len(list(tmp_path.iterdir())) == 2
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(model(**inputs), computed, inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_on_disk(dtype: torch.dtype, tmp_path: Path) -> None:
    model = with_adapter(tiny("llama"), "houlsby", [2])
    inputs = tiny_inputs("llama")
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
        with reuse_prefix(model, tmp_path / "half", dtype=dtype) as half:
            computed, read = model(**inputs), model(**inputs)
        with reuse_prefix(model, tmp_path / "full") as full:
            model(**inputs)
    assert_same(read, computed, inputs)
    mask = inputs["attention_mask"].bool()
    torch.testing.assert_close(read.last_hidden_state[mask], expected[mask], rtol=0.05, atol=0.05)
    assert not torch.equal(read.last_hidden_state[mask], expected[mask])
    entries = 3 * 32
    assert 2 * (half.size - entries) == full.size - entries > 0


def test_each_adapter_has_its_own_lowest_block(tmp_path: Path) -> None:
    model = with_adapter(tiny("llama"), "houlsby", [2])
    for name, block in (("lower", 0), ("middle", 1)):
        model.add_adapter(name, METHODS["houlsby"](layers_to_transform=[block]))
    randomise(model)
    inputs = tiny_inputs("llama")
    expected, blocks = {}, {"default": 2, "middle": 1, "lower": 0}
    with torch.no_grad():
        for name in blocks:
            model.set_adapter(name)
            expected[name] = model(**inputs)
        model.set_adapter("default")
        with reuse_prefix(model, tmp_path) as prefix:
            for name in (*blocks, *blocks):
                model.set_adapter(name)
                assert_same(model(**inputs), expected[name], inputs)
                assert prefix.blocks == blocks[name]
            assert (prefix.rows_read, prefix.rows_computed, prefix.plain_calls) == (6, 6, 2)
            model.set_adapter("default")
            with model.disable_adapter():
                disabled = model(**inputs)
            assert prefix.rows_read == 9
        with model.disable_adapter():
            assert_same(disabled, model(**inputs), inputs)


@pytest.mark.parametrize("method", ["houlsby", "lora"])
def test_rows_with_adapters_of_their_own(method: str, tmp_path: Path) -> None:
    """Where an adapter is in a frozen block, rows may have it though it is not the active one."""
    model = with_adapter(tiny("llama"), method, [2], **(LAYERS if method == "lora" else {}))
    config = (
        LoraConfig(layers_to_transform=[0], **LAYERS) if method == "lora" else METHODS[method](layers_to_transform=[0])
    )
    model.add_adapter("lower", config)
    randomise(model).eval().set_adapter("default")
    inputs = {**tiny_inputs("llama"), "adapter_names": ["default", "lower", "__base__"]}
    with torch.no_grad():
        expected = model(**inputs)
        with reuse_prefix(model, tmp_path) as prefix:
            model(**tiny_inputs("llama"))
            assert_same(model(**inputs), expected, inputs)
    assert prefix.plain_calls == 1


def test_generation_runs_without_reuse(tmp_path: Path) -> None:
    model = with_adapter(tiny_model("llama", AutoModelForCausalLM, num_hidden_layers=3), "houlsby", [2])
    ids = tiny_inputs("llama")["input_ids"]
    options = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 4, "do_sample": False}
    expected = model.generate(**options)
    with reuse_prefix(model, tmp_path) as prefix:
        for use_cache in (True, False):
            assert torch.equal(model.generate(**options, use_cache=use_cache), expected)
        assert prefix.rows_computed == 0
        assert prefix.folder == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "more",
    [{"output_hidden_states": True}, {"output_attentions": True}, {"use_cache": True}],
    ids=lambda m: next(iter(m)),
)
def test_calls_that_need_more_run_without_reuse(more: dict[str, bool], tmp_path: Path) -> None:
    model = with_adapter(tiny("llama", attn_implementation="eager"), "houlsby", [2])
    inputs = tiny_inputs("llama")
    with torch.no_grad():
        expected = model(**inputs, **more)
        with reuse_prefix(model, tmp_path) as prefix:
            model(**inputs)
            output = model(**inputs, **more)
    assert prefix.plain_calls == 1
    for key in ("hidden_states", "attentions"):
        assert (getattr(output, key) is None) == (getattr(expected, key) is None)
        for one, other in zip(getattr(output, key) or (), getattr(expected, key) or (), strict=True):
            assert torch.equal(one, other)
    if "use_cache" in more:
        assert output.past_key_values.get_seq_length() == 11 if hasattr(output, "past_key_values") else output.cache


def test_the_models_own_settings_are_left(tmp_path: Path) -> None:
    model = with_adapter(tiny_model("llama", num_hidden_layers=3), "houlsby", [2])
    base = model.get_base_model()
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    with reuse_prefix(model, tmp_path), torch.no_grad():
        assert model(**tiny_inputs("llama")).past_key_values is None
        assert base.config.use_cache is True
    for name, module in model.named_modules():
        assert vars(module).keys() == before[name].keys()
    with torch.no_grad():
        assert model(**tiny_inputs("llama")).past_key_values is not None


def test_a_copy_of_the_model_reuses_too(tmp_path: Path) -> None:
    model = with_adapter(tiny("bert"), "houlsby", [2])
    inputs = tiny_inputs("bert")
    with torch.no_grad(), reuse_prefix(model, tmp_path):
        model(**inputs)
        twin = copy.deepcopy(model)
        for parameter in twin.parameters():
            parameter.add_(0.1)  # the copy is another model now
        expected = copy.deepcopy(twin)
        del vars(expected.get_base_model())["forward"]
        assert_same(twin(**inputs), expected(**inputs), inputs)


LAYERS = {"layers_pattern": "layers"}


class Reading(BertLayer):
    """A block that reads what the first one left for it: more than the hidden states of the block below."""

    index = 0
    left: ClassVar[dict[str, Tensor]] = {}

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.index == 2 and self.left:
            hidden = hidden + self.left.pop("first")
        output = super().forward(hidden, *args, **kwargs)
        if self.index == 0:
            self.left["first"] = output
        return output


def test_models_that_need_more_are_refused_by_the_first_call(tmp_path: Path) -> None:
    model = tiny("bert").requires_grad_(False)
    for index, block in enumerate(model.encoder.layer):
        block.__class__, block.index = Reading, index
    model.encoder.layer[2].requires_grad_()
    with reuse_prefix(model, tmp_path):
        Reading.left.clear()  # of the call without values
        with pytest.raises(ValueError, match="BertModel gives other outputs when its first 2 blocks are left out"):
            model(**tiny_inputs("bert"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: tiny("albert").requires_grad_(False),
            "AlbertModel does not run each block of encoder.albert_layer_g",
        ),
        (lambda: with_adapter(tiny("bert"), "houlsby", [0, 2]), r"encoder\.layer\.0\..* is trained or adapted"),
        (lambda: tiny("bert"), r"embeddings\..* is trained or adapted, in or before the first block of BertModel"),
        (
            lambda: get_peft_model(
                tiny("llama", AutoModelForCausalLM), PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
            ),
            "PROMPT_TUNING trains what enters the first block",
        ),
        (
            lambda: with_adapter(tiny("bert"), "lora", [2], target_modules=["query"], modules_to_save=["embeddings"]),
            "embeddings.* is trained or adapted",
        ),
        (lambda: nn.DataParallel(tiny("bert")), "Launch one process per GPU"),
        (lambda: tiny_model("m2m_100").requires_grad_(False), "set encoder_layerdrop to 0"),
        (lambda: nn.Linear(2, 2), "Linear is no model of transformers"),
    ],
    ids=["albert", "lowest block", "all trained", "prompts", "embeddings", "data parallel", "layer drop", "no model"],
)
def test_refusals(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        reuse_prefix(make(), tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("option", "value"), [("limit", 0), ("limit", True), ("limit", 1.5), ("dtype", torch.int8)])
def test_options_are_checked(option: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{option} must be"):
        FrozenPrefix(tiny("bert"), tmp_path, **{"limit": 1, "dtype": None, option: value})


def test_one_reuse_at_a_time(tmp_path: Path) -> None:
    model = with_adapter(tiny("bert"), "houlsby", [2])
    prefix = reuse_prefix(model, tmp_path)
    with pytest.raises(ValueError, match="BertModel reuses its prefix already"):
        reuse_prefix(model, tmp_path)
    prefix.close()
    prefix.close()
    with reuse_prefix(model, tmp_path), torch.no_grad():
        model(**tiny_inputs("bert"))
