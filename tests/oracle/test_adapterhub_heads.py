"""Prediction heads of AdapterHub's flexible models: what they compute, there and back, and those left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from cases import DIRECTORY, FIXTURES, HEADS, golden, logits_of, model_for_head, unpadded
from peft import PeftModel, get_peft_model, get_peft_model_state_dict
from tiny_models import tiny_inputs, tiny_model
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from peft_bottleneck import HoulsbyConfig, PfeifferConfig, load_adapterhub, save_adapterhub
from peft_bottleneck.adapterhub.heads import FittedHead, Head

BERT = FIXTURES / "bert-flex"
TANH = {"head_type": "classification", "layers": 2, "activation_function": "tanh"}
SHAPES = [("1", "weight", (32, 32)), ("1", "bias", (32,)), ("4", "weight", (2, 32)), ("4", "bias", (2,))]
# Where the class of transformers computes another head, with what the warning says.
LEFT_OUT = {
    ("albert", "head_masked_lm"): "activation_function='gelu', not 'gelu_new'",
    ("beit", "head_image_classification"): "use_pooler=False, not True",
    **{
        (family, f"head_{kind}classification"): "activation_function='tanh', not 'gelu'; load the model with pooler_"
        for family in ("deberta", "deberta-v2")
        for kind in ("", "multilabel_")
    },
    ("deberta-v2", "head_multiple_choice"): "load the model with pooler_hidden_act='tanh'",
    **{
        ("distilbert", f"head_{kind}"): "activation_function='tanh', not 'relu'"
        for kind in ("classification", "multilabel_classification", "multiple_choice")
    },
    **{
        ("electra", f"head_{kind}classification"): "activation_function='tanh', not 'gelu'"
        for kind in ("", "multilabel_")
    },
    ("electra", "head_multiple_choice"): "load the model with summary_activation='tanh'",
    **{
        (family, f"head_{kind}"): "layers=2, not 1"
        for family in ("gpt2", "gptj", "llama", "mistral")
        for kind in ("classification", "multilabel_classification", "causal_lm")
    },
}
# Where transformers 5 has no class for the family at all.
NO_CLASS = {
    ("deberta", "head_multiple_choice"),
    ("distilbert", "head_causal_lm"),
    ("distilbert", "head_causal_lm_inv"),
    ("gptj", "head_tagging"),
    ("plbart", "head_question_answering"),
}
FITTING = [
    (case, head)
    for case, head in HEADS
    if (case.removesuffix("-flex"), head) not in LEFT_OUT and (case.removesuffix("-flex"), head) not in NO_CLASS
]


def warnings_about_heads(records: pytest.WarningsRecorder) -> list[str]:
    return [str(record.message) for record in records if "its head" in str(record.message)]


@pytest.mark.parametrize(("case", "head"), FITTING)
def test_logits(case: str, head: str, recwarn: pytest.WarningsRecorder) -> None:
    """The head of transformers' own class computes what the flexible head does."""
    inputs, outputs = golden(case)
    model = load_adapterhub(model_for_head(case, head), DIRECTORY / case / head)
    assert not warnings_about_heads(recwarn)
    logits, expected = logits_of(model, head, inputs), outputs[f"logits.{head}"]
    if "classification" not in head:
        logits, expected = unpadded(logits, inputs), unpadded(expected, inputs)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "head"), [case for case in HEADS if (case[0].removesuffix("-flex"), case[1]) in LEFT_OUT]
)
def test_left_out(case: str, head: str) -> None:
    """The adapter comes along without its head, and the model's own head stays."""
    base = model_for_head(case, head)
    inputs, _ = golden(case)
    plain = logits_of(base, head, inputs)
    with pytest.warns(UserWarning, match=LEFT_OUT[case.removesuffix("-flex"), head]):
        model = load_adapterhub(base, DIRECTORY / case / head)
    assert model.peft_config["default"].modules_to_save is None
    assert not torch.allclose(logits_of(model, head, inputs), plain, atol=1e-4)
    with model.disable_adapter():
        assert torch.equal(logits_of(model, head, inputs), plain)


@pytest.mark.parametrize(("case", "head"), FITTING)
def test_there_and_back(case: str, head: str, tmp_path: Path) -> None:
    """The library's own configuration and tensors come out again, and PEFT's own files hold the same."""
    source, base = DIRECTORY / case / head, model_for_head(case, head)
    inputs, _ = golden(case)
    model = load_adapterhub(base, source, head)
    logits = logits_of(model, head, inputs)
    save_adapterhub(model, tmp_path / "hub", head)
    if model.peft_config[head].modules_to_save is None:  # nothing but the base model's output embeddings
        assert not (tmp_path / "hub" / "head_config.json").exists()
        return
    given, written = (json.loads((path / "head_config.json").read_text()) for path in (source, tmp_path / "hub"))
    assert written["model_class"] == given["model_class"]  # the library converts a head of any other class
    without = {"embedding_size", "dropout_prob", *(["activation_function"] if given["config"]["layers"] == 1 else [])}
    for key in given["config"].keys() - without:
        assert written["config"][key] == given["config"][key], key
    tensors, again = (
        torch.load(path / "pytorch_model_head.bin", weights_only=True) for path in (source, tmp_path / "hub")
    )
    assert tensors.keys() == again.keys()
    for key, value in tensors.items():
        torch.testing.assert_close(again[key], value, rtol=0, atol=0 if case != "t5-flex" else 1e-6)

    model.save_pretrained(tmp_path / "peft")
    settings = {"num_labels": model.config.num_labels} if model.config.num_labels != 2 else {}
    fresh = type(model.get_base_model()).from_pretrained(DIRECTORY / case / "base", **settings)
    loaded = PeftModel.from_pretrained(fresh, tmp_path / "peft" / head, is_trainable=True)
    assert torch.equal(logits_of(loaded, head, inputs), logits)


def test_labels_come_along() -> None:
    model = load_adapterhub(
        AutoModelForSequenceClassification.from_pretrained(BERT / "base"), BERT / "head_classification"
    )
    config = model.get_base_model().config
    assert (config.num_labels, config.id2label) == (3, {0: "bad", 1: "fair", 2: "good"})
    assert config.label2id == {"bad": 0, "fair": 1, "good": 2}
    inputs, _ = golden("bert-flex")
    assert torch.isfinite(model(**inputs, labels=torch.tensor([0, 1, 2])).loss)


def test_several_labels_at_once() -> None:
    base = AutoModelForSequenceClassification.from_pretrained(BERT / "base")
    model = load_adapterhub(base, BERT / "head_multilabel_classification")
    assert model.get_base_model().config.problem_type == "multi_label_classification"
    inputs, outputs = golden("bert-flex")
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1]])
    logits = outputs["logits.head_multilabel_classification"]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(model.eval()(**inputs, labels=labels).loss, expected)


def test_a_head_is_trained_saved_and_switched_with_its_adapter() -> None:
    base = AutoModelForSequenceClassification.from_pretrained(BERT / "base", num_labels=3)
    model = load_adapterhub(base, BERT / "head_classification", "first")
    inputs, outputs = golden("bert-flex")
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split("modules_to_save.first.")[1] for name in trainable if "modules_to_save" in name} == {
        "weight",
        "bias",
    }
    load_adapterhub(model, BERT / "head_classification_static", "second")
    for name in ("second", "first"):
        model.set_adapter(name)
        head = "head_classification_static" if name == "second" else "head_classification"
        torch.testing.assert_close(logits_of(model, head, inputs), outputs[f"logits.{head}"], rtol=0, atol=1e-5)
    with model.disable_adapter():
        plain = logits_of(model, "head_classification", inputs)
    own = AutoModelForSequenceClassification.from_pretrained(BERT / "base", num_labels=3).eval()
    own.classifier.load_state_dict(model.get_base_model().classifier.original_module.state_dict())
    torch.testing.assert_close(plain, own(**inputs).logits)


def test_a_language_models_own_embeddings_are_not_saved_again() -> None:
    """The library writes the output embeddings with every head, and as a rule they are the base model's."""
    base = AutoModelForMaskedLM.from_pretrained(BERT / "base")
    model = load_adapterhub(base, BERT / "head_masked_lm")
    assert "cls.predictions.decoder" in model.peft_config["default"].modules_to_save  # its bias is another one
    base = AutoModelForMaskedLM.from_pretrained(BERT / "base")
    head = torch.load(BERT / "head_masked_lm" / "pytorch_model_head.bin", weights_only=True)
    base.cls.predictions.decoder.weight.data.copy_(head["heads.head_masked_lm.3.weight"])
    base.cls.predictions.decoder.bias.data.copy_(head["heads.head_masked_lm.3.bias"])
    model = load_adapterhub(base, BERT / "head_masked_lm")
    expected = {"cls.predictions.transform.LayerNorm", "cls.predictions.transform.dense"}
    assert set(model.peft_config["default"].modules_to_save) == expected


def test_an_adapted_model_keeps_its_number_of_labels() -> None:
    base = AutoModelForSequenceClassification.from_pretrained(BERT / "base")
    model = get_peft_model(base, PfeifferConfig(), adapter_name="own")
    with pytest.warns(UserWarning, match="it has 3 labels, the model 2"):
        load_adapterhub(model, BERT / "head_classification", "given")


def test_heads_of_classes_of_transformers(tmp_path: Path) -> None:
    """What the library saves of a model that is not a flexible one names its class, and the model's own modules."""
    checkpoint = tmp_path / "static"
    shutil.copytree(BERT / "head_classification", checkpoint)
    labels = {"no": 0, "yes": 1, "perhaps": 2}
    description = {"config": None, "model_class": "BertForSequenceClassification", "name": None, "label2id": labels}
    (checkpoint / "head_config.json").write_text(json.dumps(description | {"num_labels": 3}), encoding="utf-8")
    weights = {"classifier.weight": torch.randn(3, 32), "classifier.bias": torch.randn(3)}
    torch.save(weights, checkpoint / "pytorch_model_head.bin")
    model = load_adapterhub(AutoModelForSequenceClassification.from_pretrained(BERT / "base"), checkpoint)
    assert model.get_base_model().config.label2id == labels
    kept = model.get_base_model().classifier.modules_to_save["default"]
    assert torch.equal(kept.weight, weights["classifier.weight"])
    assert torch.equal(kept.bias, weights["classifier.bias"])
    with pytest.warns(UserWarning, match="it is the head of BertForSequenceClassification, and the model is BertForT"):
        load_adapterhub(AutoModelForTokenClassification.from_pretrained(BERT / "base"), checkpoint)


def test_a_head_beside_a_whole_one() -> None:
    """Where another adapter has a copy of the whole head, this one gets it too, and its own two maps in it."""
    base = tiny_model("roberta", AutoModelForSequenceClassification)
    model = get_peft_model(base, PfeifferConfig(modules_to_save=["classifier"]), adapter_name="own")
    head = Head.read(
        {"name": "h", "model_class": "RobertaAdapterModel", "config": {**TANH, "num_labels": 2}},
        {f"heads.h.{place}.{key}": torch.randn(shape) for place, key, shape in SHAPES},
    )
    fitted = FittedHead.of(head, base, resizable=False)
    assert fitted.modules_to_save(base) == ["classifier"]
    model.add_adapter("given", PfeifferConfig(modules_to_save=["classifier"]))
    fitted.join(base, "given")
    kept = base.classifier.modules_to_save["given"]
    assert torch.equal(kept.out_proj.weight, head.weights["4.weight"])
    assert not torch.equal(base.classifier.modules_to_save["own"].out_proj.weight, head.weights["4.weight"])


def test_modules_to_save_that_are_no_head(tmp_path: Path) -> None:
    model = get_peft_model(tiny_model("bert"), HoulsbyConfig(modules_to_save=["pooler"]))
    with pytest.warns(UserWarning, match=r"modules_to_save=\['pooler'\] are no head of AdapterHub's library"):
        save_adapterhub(model, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["adapter_config.json", "pytorch_adapter.bin"]


def test_a_whole_head_may_be_one_module_to_save(tmp_path: Path) -> None:
    """RoBERTa's classifier is a module with two maps inside."""
    config = PfeifferConfig(modules_to_save=["classifier"], init_weights=False)
    model = get_peft_model(tiny_model("roberta", AutoModelForSequenceClassification), config)
    save_adapterhub(model, tmp_path)
    again = load_adapterhub(tiny_model("roberta", AutoModelForSequenceClassification), tmp_path)
    inputs = tiny_inputs("roberta")
    ours, loaded = (get_peft_model_state_dict(one) for one in (model, again))
    assert ours.keys() == loaded.keys()
    assert all(torch.equal(ours[key], loaded[key]) for key in ours)
    # A loaded adapter adds up in another order.
    torch.testing.assert_close(again.eval()(**inputs).logits, model.eval()(**inputs).logits, rtol=0, atol=1e-6)
