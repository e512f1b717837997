"""What each method opens to training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_task import save_model
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast
from versions import APART, prefixes_work

from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.fit import check_fit
from peft_bottleneck_bench.kinds import KINDS, Context
from peft_bottleneck_bench.models.base_model import BaseModel
from peft_bottleneck_bench.models.methods import METHODS
from peft_bottleneck_bench.models.options import check_method
from peft_bottleneck_bench.models.trainable import count_parameters, head_modules, make_trainable

CLASSIFICATION = KINDS["classification"]
HEAD = 32 * 32 + 32 + 32 * 2 + 2  # pooler and classifier of the tiny BERT


def context(bert: Path) -> Context:
    return Context(model=BaseModel.named(str(bert)), labels=("a", "b"), max_length=64)


def load(bert: Path) -> AutoModelForSequenceClassification:
    torch.manual_seed(0)
    return CLASSIFICATION.load(context(bert))


def head_of(name: str) -> str | None:
    """The part of a parameter's name that says where in the head it is, whatever wraps it."""
    name = name.replace("modules_to_save.default.", "")
    return next((name[name.index(part) :] for part in ("pooler.", "classifier.") if part in name), None)


PREFIX = pytest.param("prefix_tuning", marks=prefixes_work)
OF_THE_BASE = ("bias_tuning", "norm_tuning", "full")
ADAPTERS = [PREFIX if name == "prefix_tuning" else name for name, row in METHODS.items() if row.head]
ADAPTERS = [name for name in ADAPTERS if name not in OF_THE_BASE]
WITH_HEAD = [*ADAPTERS, *OF_THE_BASE]


@pytest.mark.parametrize("method", WITH_HEAD)
def test_every_method_trains_the_same_head_from_the_same_start(bert: Path, method: str) -> None:
    before = {head_of(name): parameter.clone() for name, parameter in load(bert).named_parameters() if head_of(name)}
    model = make_trainable(load(bert), method, {}, "SEQ_CLS")
    head = {
        head_of(name): parameter
        for name, parameter in model.named_parameters()
        if head_of(name) and parameter.requires_grad
    }
    assert sum(parameter.numel() for parameter in head.values()) == HEAD
    assert head.keys() == before.keys()
    assert all(torch.equal(head[name], before[name]) for name in before)


@pytest.mark.parametrize("method", ADAPTERS)
def test_nothing_of_the_base_is_trained(bert: Path, method: str) -> None:
    model = load(bert)
    base = {id(p) for name, p in model.named_parameters() if not head_of(name)}
    trained = make_trainable(model, method, {}, "SEQ_CLS")
    assert not any(parameter.requires_grad for parameter in trained.parameters() if id(parameter) in base)


def test_the_head_is_counted_once(bert: Path) -> None:
    plain = sum(parameter.numel() for parameter in load(bert).parameters())
    assert count_parameters(make_trainable(load(bert), "head_only", {}, "SEQ_CLS")) == (HEAD, plain)
    trainable, total = count_parameters(make_trainable(load(bert), "houlsby", {"bottleneck_size": 4}, "SEQ_CLS"))
    bottlenecks = 2 * 2 * (2 * 32 * 4 + 4 + 32)  # two in each of two blocks
    assert (trainable, total) == (HEAD + bottlenecks, plain + bottlenecks)


@pytest.mark.parametrize(
    ("method", "trained"),
    [
        ("bias_tuning", lambda name: name.endswith("bias")),
        ("norm_tuning", lambda name: "LayerNorm" in name),
        ("full", lambda name: True),
    ],
)
def test_methods_of_the_base_train_just_their_part(bert: Path, method: str, trained: Callable[[str], bool]) -> None:
    model = make_trainable(load(bert), method, {}, "SEQ_CLS")
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (trained(name) or head_of(name) is not None), name


@prefixes_work
@pytest.mark.parametrize("kind", ["classification", "ner", "relation_extraction"])
def test_a_prefix_reaches_the_output(bert: Path, kind: str) -> None:
    """It goes through the cache of keys and values, which a model may drop without a word."""
    known = Context(
        model=BaseModel.named(str(bert)),
        labels=("a", "b"),
        max_length=64,
        markers=("[HEAD]", "[/HEAD]", "[TAIL]", "[/TAIL]"),
    )
    task_type = KINDS[kind].task_type(known.model.config)
    model = make_trainable(KINDS[kind].load(known), "prefix_tuning", {"num_virtual_tokens": 4}, task_type).eval()
    inputs = {"input_ids": torch.tensor([[2, 5, 6, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    if kind == "relation_extraction":
        inputs["marker_places"] = torch.tensor([[1, 2]])
    before = model(**inputs).logits
    with torch.no_grad():
        model.prompt_encoder["default"].embedding.weight.normal_(std=3)
    assert not torch.allclose(before, model(**inputs).logits)


@pytest.mark.skipif(not APART, reason="these versions of transformers and PEFT go together")
def test_versions_that_a_prefix_falls_between_are_told(bert: Path) -> None:
    with pytest.raises(
        UserError, match="does not know the name 'cache' that transformers .* install PEFT 0.22, or an older"
    ):
        check_fit(context(bert), "prefix_tuning", {}, CLASSIFICATION)


def test_a_model_without_a_cache_takes_no_prefix(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    folder = save_model("modernbert", tmp_path / "modern", tokenizer, global_attn_every_n_layers=2, pad_token_id=0)
    with pytest.raises(UserError, match="'prefix_tuning' does not fit models of type 'modernbert' here: they take no"):
        check_fit(context(folder), "prefix_tuning", {}, CLASSIFICATION)


def test_the_untuned_model_trains_nothing(bert: Path) -> None:
    assert count_parameters(make_trainable(load(bert), "untuned", {}, "SEQ_CLS"))[0] == 0


@pytest.mark.parametrize("method", [*WITH_HEAD, "untuned"])
def test_a_fit_is_checked_and_counted_without_weights(bert: Path, method: str) -> None:
    expected = count_parameters(make_trainable(load(bert), method, {}, "SEQ_CLS"))
    assert check_fit(context(bert), method, {}, CLASSIFICATION) == expected


def test_a_method_that_finds_nothing_to_adapt_says_so(bert: Path) -> None:
    with pytest.raises(UserError) as error:
        check_fit(context(bert), "lora", {"target_modules": "nothing"}, CLASSIFICATION)
    (message,) = error.value.messages
    assert message.startswith("method 'lora' does not fit models of type 'bert': ")
    assert "No modules were targeted for adaptation" in message


def test_options_reach_the_configuration(bert: Path) -> None:
    model = make_trainable(load(bert), "lora", {"r": 2, "modules_to_save": ["embeddings.LayerNorm"]}, "SEQ_CLS")
    assert model.peft_config["default"].r == 2
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert any("embeddings.LayerNorm" in name for name in trained)
    assert any("classifier" in name for name in trained)


def test_the_head_of_other_families() -> None:
    from transformers import AutoConfig

    sizes = dict(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    expected = {
        "roberta": ["classifier"],
        "distilbert": ["pre_classifier", "classifier"],
        "llama": ["score"],
        "t5": ["classification_head"],
        "deberta-v2": ["pooler", "classifier"],
    }
    for model_type, heads in expected.items():
        changes = {"dim": 8, "hidden_dim": 8, "n_heads": 2} if model_type == "distilbert" else {}
        config = AutoConfig.for_model(model_type, **sizes, **changes, pad_token_id=0)
        with torch.device("meta"):
            assert head_modules(AutoModelForSequenceClassification.from_config(config)) == heads


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("lorra", {}, "unknown method 'lorra': did you mean 'lora'?"),
        ("lroa", {}, "unknown method 'lroa': did you mean 'lora'?"),
        ("lora", {"lora_alfa": 1}, "method 'lora': unknown option 'lora_alfa': did you mean 'lora_alpha'?"),
        ("lora", {"task_type": "X"}, "method 'lora': unknown option 'task_type': "),
        ("head_only", {"r": 1}, "method 'head_only' has no options, found 'r'"),
        ("houlsby", {"reduction_factor": -1}, "method 'houlsby': HoulsbyConfig: reduction_factor must be "),
    ],
)
def test_wrong_options_are_refused(method: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        check_method(method, options)
    assert error.value.messages[0].startswith(message)
