"""Generation from prompts with any columns and from conversations, and what may not generate."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_task import make_tokenizer, save_model
from transformers import AutoConfig, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS, Context
from peft_bottleneck_bench.kinds.prompts import checked_messages, conversation_text, filled, placeholders
from peft_bottleneck_bench.models.base_model import BaseModel
from peft_bottleneck_bench.tasks import Files, Task

KIND = KINDS["generation"]
FILES = Files(train="a.jsonl", validation="a.jsonl", test="a.jsonl")
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} <end> {% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
WORDS = ("<system>", "<user>", "<assistant>", "<end>", "system", "user", "assistant", ":", "hi", "ho", "who", "me")
TURNS = [
    {"role": "system", "content": "the"},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "ho ho"},
    {"role": "user", "content": "who"},
    {"role": "assistant", "content": "me"},
]


def task(**fields: Any) -> Task:
    return Task(name="mine", kind="generation", data=FILES, **fields)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    known = make_tokenizer(("the", "good", "film", "day", "is", "a", *WORDS))
    known.add_special_tokens({"additional_special_tokens": ["<system>", "<user>", "<assistant>", "<end>"]})
    return known


@pytest.fixture
def gpt2(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    plain = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="[SEP]", pad_token="[PAD]", model_max_length=64
    )
    plain.backend_tokenizer.post_processor = None
    return save_model("gpt2", tmp_path / "gpt2", plain, n_embd=32, n_layer=2, n_head=2, n_positions=64)


def context(folder: Path, **fields: Any) -> Context:
    defaults = {"labels": (), "max_length": 32, "generation": {"max_new_tokens": 6}}
    return Context(**{"model": BaseModel.named(str(folder)), **defaults, **fields})


def test_columns_in_braces() -> None:
    prompt = 'As {"json": 1}: {question} {{question}} {choices.0}\n{question}'
    assert placeholders(prompt) == ("question", "choices.0")
    assert filled(prompt, {"question": "{why}?", "choices.0": 3}) == 'As {"json": 1}: {why}? {question} 3\n{why}?'


def test_a_task_needs_the_columns_of_its_prompt() -> None:
    assert KIND.required(task(prompt="{instruction}\n{input}")) == ("instruction", "input", "target")
    assert KIND.required(task()) == ("messages",)
    with pytest.raises(UserError, match="prompt: no column in braces"):
        KIND.check_task(task(prompt="Go on:"))
    with pytest.raises(UserError, match="{target} is what the model has to write"):
        KIND.check_task(task(prompt="{question} {target}"))
    with pytest.raises(UserError, match="source_prefix: it has no effect on generation"):
        KIND.check_task(task(source_prefix="x"))
    translation = Task(name="mine", kind="translation", data=FILES, prompt="{sauce}")
    with pytest.raises(UserError, match="prompt: {source} is missing, its columns are 'sauce'"):
        KINDS["translation"].check_task(translation)


def test_the_first_of_several_targets_is_trained_on_and_all_are_scored(gpt2: Path) -> None:
    example = KIND.example({"question": "hi", "input": "", "target": ["good day", "ho"]})
    known = context(gpt2, prompt="{question} is {input}")
    ids = KIND.encode([example], known, training=True).columns["labels"][0]
    assert known.model.tokenizer.convert_ids_to_tokens([i for i in ids if i >= 0]) == ["good", "day", "[SEP]"]
    assert KIND.references([example]) == [["good day", "ho"]]
    assert KIND.references([{**example, "reference": "7"}]) == ["7"]


def test_a_question_without_an_answer_is_trained_to_end_at_once(gpt2: Path) -> None:
    example = KIND.example({"question": "hi", "target": []})
    known = context(gpt2, prompt="{question} is")
    columns = KIND.encode([example], known, training=True).columns
    end = known.model.tokenizer.eos_token_id
    assert [token for token in columns["labels"][0] if token >= 0] == [end]
    assert KIND.references([example]) == [""]


def test_the_longest_column_is_cut(gpt2: Path) -> None:
    known = context(gpt2, prompt="{question} is {input}", max_length=8)
    example = KIND.example({"question": "good " * 30, "input": "a day", "target": "film"})
    encoded = KIND.encode([example], known, training=False)
    tokens = known.model.tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"][0])
    assert tokens == [*["good"] * 5, "is", "a", "day"]
    assert encoded.cut == 1


def test_targets_that_are_cut_are_counted(gpt2: Path) -> None:
    examples = [KIND.example({"question": "hi", "target": "good " * length}) for length in (5, 6, 9)]
    assert KIND.encode(examples, context(gpt2, prompt="{question}"), training=True).cut_targets == 2


def test_a_prompt_without_tokens_is_one_token(gpt2: Path) -> None:
    known = context(gpt2, prompt="{question}")
    example = KIND.example({"question": "", "target": "good"})
    assert KIND.encode([example], known, training=False).columns["input_ids"] == [[known.model.tokenizer.eos_token_id]]


@pytest.mark.parametrize("template", [TEMPLATE, None], ids=["own", "plain"])
def test_every_turn_of_the_assistant_is_trained_on_and_nothing_else(gpt2: Path, template: str | None) -> None:
    known = context(gpt2)
    known.model.tokenizer.chat_template = template
    example = KIND.example({"messages": TURNS})
    assert example["target"] == "me"
    columns = KIND.encode([example], known, training=True).columns
    words = known.model.tokenizer.convert_ids_to_tokens
    trained = words([label for label in columns["labels"][0] if label >= 0])
    end = "<end>" if template else "[SEP]"
    assert trained == ["ho", "ho", end, "me", end]
    prompt = KIND.encode([example], known, training=False).columns["input_ids"][0]
    whole = columns["input_ids"][0]
    assert whole[: len(prompt)] == prompt
    assert words(whole[len(prompt) :])[:2] == ["me", end]


def test_a_long_conversation_loses_its_oldest_turns(gpt2: Path) -> None:
    known = context(gpt2, max_length=9)
    known.model.tokenizer.chat_template = TEMPLATE
    encoded = KIND.encode([KIND.example({"messages": TURNS})], known, training=False)
    words = known.model.tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"][0])
    assert words == ["<system>", "the", "<end>", "<user>", "who", "<end>", "<assistant>"]
    assert encoded.cut == 1


def test_a_template_that_rewrites_earlier_turns_is_refused(gpt2: Path) -> None:
    known = context(gpt2)
    known.model.tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(UserError, match="chat template rewrites earlier turns"):
        KIND.encode([KIND.example({"messages": TURNS})], known, training=True)


def test_conversations_of_sharegpt_are_read() -> None:
    value = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]
    assert checked_messages(value, "messages") == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
    ]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("hi", "'messages' must be a list of messages, found 'hi'"),
        ([{"role": "user"}], "'messages': message 0 must have a role and a content"),
        ([{"role": "chef", "content": "hi"}], "'messages': message 0: unknown role 'chef'"),
        (TURNS[:2], "'messages' must end with what the assistant says"),
    ],
)
def test_what_is_no_conversation_is_named(messages: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KIND.example({"messages": messages})


def test_an_encoder_decoder_reads_the_conversation_as_text(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    sizes = dict(vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    config = AutoConfig.for_model("t5", decoder_start_token_id=0, pad_token_id=0, eos_token_id=3, **sizes)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    known = context(tmp_path / "t5")
    text = conversation_text(TURNS[:3], known.model.tokenizer, reply=True)
    assert text == "system: the\nuser: hi\nassistant: ho ho\nassistant:"
    columns = KIND.encode([KIND.example({"messages": TURNS})], known, training=True).columns
    assert known.model.tokenizer.convert_ids_to_tokens(columns["labels"][0])[1:-1] == ["me"]
    with_end(tokenizer).save_pretrained(tmp_path / "t5")
    KIND.check_model(context(tmp_path / "t5").model)


def with_end(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A copy that has an end token."""
    ending = copy.deepcopy(tokenizer)
    ending.eos_token = "[SEP]"
    return ending


def test_a_tokenizer_without_an_end_does_not_generate(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    model = BaseModel.named(str(save_model("gpt2", tmp_path / "model", tokenizer, n_embd=32, n_layer=2, n_head=2)))
    with pytest.raises(UserError, match=r"its tokenizer has no end token \(`eos_token`\)"):
        KIND.check_model(model)


@pytest.mark.parametrize(
    ("model_type", "fields", "fits"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2}, True),
        ("llama", {}, True),
        ("mamba", {"state_size": 4}, True),
        ("bert", {}, False),
        ("bert", {"is_decoder": True}, True),
        ("roberta", {}, False),
        ("electra", {"embedding_size": 32}, False),
        ("xlnet", {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64}, False),
    ],
)
def test_a_model_whose_tokens_see_later_ones_does_not_generate(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, model_type: str, fields: dict[str, Any], fits: bool
) -> None:
    model = BaseModel.named(str(save_model(model_type, tmp_path / "model", with_end(tokenizer), **fields)))
    before = torch.random.get_rng_state()
    if fits:
        KIND.check_model(model)
    else:
        with pytest.raises(UserError, match="does not fit generation: its tokens see later ones"):
            KIND.check_model(model)
    assert torch.equal(torch.random.get_rng_state(), before)
