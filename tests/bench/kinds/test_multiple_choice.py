"""Multiple choice by likelihood, against sums of log-probabilities that are written out here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_task import make_tokenizer, save_model
from transformers import AutoConfig, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from peft_bottleneck_bench import metrics
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS, Context
from peft_bottleneck_bench.models.base_model import BaseModel
from peft_bottleneck_bench.tasks import Files, Task

KIND = KINDS["multiple_choice"]
ROWS = [
    {"question": "the film was", "choices": ["good", "very bad day", "fine meal"], "answer": 1},
    {"question": "a", "choices": ["lovely", "dull"], "answer": "A"},
]


@pytest.fixture(params=["gpt2", "llama", "t5"])
def known(request: pytest.FixtureRequest, tmp_path: Path) -> Context:
    """A decoder with positions that are counted, one with positions that are turned, and an encoder–decoder."""
    backend = make_tokenizer().backend_tokenizer
    if request.param != "t5":
        backend.post_processor = None
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="[SEP]", pad_token="[PAD]", model_max_length=64
    )
    folder = tmp_path / request.param
    if request.param == "t5":
        torch.manual_seed(0)
        sizes = dict(vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
        config = AutoConfig.for_model("t5", decoder_start_token_id=0, pad_token_id=0, eos_token_id=3, **sizes)
        AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    else:
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2} if request.param == "gpt2" else {}
        save_model(request.param, folder, tokenizer, **sizes)
    model = BaseModel.named(str(folder))
    return Context(model=model, labels=(), max_length=32, prompt="{question}", generation={"max_new_tokens": 8})


def likelihood(model: Any, tokenizer: Any, question: str, choice: str) -> float:
    """`Σ log p(c_t | question, c_<t)`, one token at a time."""
    prompt = tokenizer(question)["input_ids"]
    total = 0.0
    written: list[int] = []
    targets = (
        tokenizer(choice)["input_ids"][:-1] if model.config.is_encoder_decoder else tokenizer(choice)["input_ids"]
    )
    for token in targets:
        with torch.no_grad():
            if model.config.is_encoder_decoder:
                before = torch.tensor([[model.config.decoder_start_token_id, *written]])
                logits = model(input_ids=torch.tensor([prompt]), decoder_input_ids=before).logits
            else:
                logits = model(input_ids=torch.tensor([[*prompt, *written]])).logits
        total += float(torch.log_softmax(logits[0, -1], -1)[token])
        written.append(token)
    return total


def test_each_choice_has_the_likelihood_of_its_tokens(known: Context) -> None:
    examples = [KIND.example(row) for row in ROWS]
    encoded = KIND.encode(examples, known, training=False)
    assert list(encoded.examples) == [0, 0, 0, 1, 1]
    model = KIND.load(known).float().eval()
    rows = [{name: column[row] for name, column in encoded.columns.items()} for row in range(5)]
    batch = KIND.collator(known, training=False)(rows)
    with torch.no_grad():
        outputs = KIND.outputs(model(**batch).logits, batch["labels"])
    expected = [
        likelihood(model, known.model.tokenizer, example["question"], choice)
        for example in examples
        for choice in example["choices"]
    ]
    assert outputs.numpy() == pytest.approx(np.array(expected), abs=1e-4)
    of_first, of_second = np.array(expected[:3]), np.array(expected[3:])
    lengths = np.array([len(choice) for choice in examples[0]["choices"]])
    assert KIND.predictions(outputs.numpy(), encoded, examples, known) == [
        [int(of_first.argmax()), int((of_first / lengths).argmax())],
        [int(of_second.argmax()), int((of_second / np.array([6, 4])).argmax())],
    ]


def test_the_right_choice_is_what_is_trained(known: Context) -> None:
    columns = KIND.encode([KIND.example(ROWS[0])], known, training=True).columns
    trained = known.model.tokenizer.convert_ids_to_tokens([token for token in columns["labels"][0] if token >= 0])
    assert [word for word in trained if not word.startswith("[")] == ["very", "bad", "day"]


@pytest.mark.parametrize(
    ("answer", "names", "number"),
    [(2, None, 2), ("C", None, 2), ("c", None, 2), ("blue", None, 1), ("3", ["1", "2", "3"], 2), (1, [1, 2, 3], 0)],
)
def test_an_answer_has_many_forms(answer: Any, names: Any, number: int) -> None:
    row = {"q": "?", "choices": ["red", "blue", "green"], "answer": answer, **({"names": names} if names else {})}
    assert KIND.example(row)["answer"] == number


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": 3}, "'answer' must be a number from 0 to 1, a letter or one of the choices, found 3"),
        ({"answer": True}, "'answer' must be a number from 0 to 1"),
        ({"choices": ["a"]}, "'choices' must be a list of two texts or more"),
        ({"choices": ["a", ""]}, "'choices' must be texts"),
        ({"names": ["A"]}, "'names' must have one for each of the 2 choices"),
    ],
)
def test_a_wrong_row_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KIND.example({"choices": ["a", "b"], "answer": 0, **changes})


def test_a_prompt_is_needed() -> None:
    files = Files(train="a", validation="a", test="a")
    with pytest.raises(UserError, match="prompt: it is missing"):
        KIND.check_task(Task(name="mine", kind="multiple_choice", data=files))


def test_accuracy_of_both_choices() -> None:
    references, predictions = [0, 1, 2, 1], [[0, 1], [1, 1], [0, 2], [0, 0]]
    for main, score in (("accuracy", 0.5), ("accuracy_norm", 0.5)):
        metric = metrics.load("multiple_choice", main=main)
        assert metric.compute(references=references, predictions=predictions)[main] == score
        assert metric.score(metric.statistics(references, predictions).sum(0)) == score
