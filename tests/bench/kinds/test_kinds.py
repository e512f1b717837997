"""Each kind: what rows it takes, what the model sees of them, and what is read from its outputs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_task import save_model
from transformers import AutoConfig, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from peft_bottleneck_bench.kinds import KINDS, Context
from peft_bottleneck_bench.kinds.ner import tags_of
from peft_bottleneck_bench.kinds.relation_extraction import marked_text, marker_words
from peft_bottleneck_bench.models.base_model import BaseModel

RELATION = {
    "text": "the film was good and the meal was bad",
    "head": {"start": 4, "end": 8, "type": "ART"},
    "tail": {"start": 26, "end": 30, "type": "FOOD"},
    "relation": "before",
}


def context(model: Path, **fields: Any) -> Context:
    return Context(**{"model": BaseModel.named(str(model)), "labels": ("a", "b"), "max_length": 64, **fields})


@pytest.fixture
def gpt2(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A random decoder-only model whose tokenizer has an end token."""
    with_end = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="[SEP]", pad_token="[PAD]", model_max_length=64
    )
    return save_model("gpt2", tmp_path / "tiny_gpt2", with_end, n_embd=32, n_layer=2, n_head=2, n_positions=64)


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("classification", {"text": None, "label": "a"}, "'text' must be text, found None"),
        ("regression", {"text": "a", "score": "high"}, "'score' must be a number, found 'high'"),
        ("regression", {"text": "a", "score": float("nan")}, "'score' must be a number, found nan"),
        ("ner", {"tokens": "a b", "tags": ["O", "O"]}, "'tokens' must be a list of text, found 'a b'"),
        ("ner", {"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens but 1 tags"),
        ("ner", {"tokens": ["a"], "tags": ["PER"]}, "tag 0 is 'PER': expected O, B-TYPE or I-TYPE; see `scheme`"),
        (
            "ner",
            {"tokens": ["a", "b"], "tags": ["B-LOC", "I-PER"]},
            "tag 1 is 'I-PER' after 'B-LOC': in IOB2 an entity starts with B-; for IOB1 write `scheme: iob1`",
        ),
        (
            "relation_extraction",
            {**RELATION, "tail": {"start": 6, "end": 10}},
            "'head' (4–8) and 'tail' (6–10) overlap",
        ),
        (
            "relation_extraction",
            {**RELATION, "head": {"start": 30, "end": 99}},
            "'head' is at 30–99 in a text of 38 characters",
        ),
        (
            "relation_extraction",
            {**RELATION, "head": {"start": 4, "end": 8, "text": "meal"}},
            "'head' is 'meal', but the text has 'film' at 4–8",
        ),
        ("translation", {"source": "a", "target": " "}, "'target' must be text, found ' '"),
    ],
)
def test_a_wrong_row_is_refused_by_column_and_value(kind: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        KINDS[kind].example(row)


def test_a_score_may_be_text_as_in_csv(bert: Path) -> None:
    kind = KINDS["regression"]
    example = kind.example({"text": "good", "text_pair": "fine film", "score": "2.5"})
    encoded = kind.encode([example], context(bert), training=True)
    assert encoded.columns["labels"] == [2.5]
    assert kind.predictions(np.array([[1.5]]), encoded, [example], context(bert)) == [1.5]


def test_a_model_learns_scores_without_their_mean_and_in_standard_deviations(bert: Path) -> None:
    kind = KINDS["regression"]
    examples = [kind.example({"text": "good", "score": score}) for score in (1.0, 3.0, 5.0, 7.0)]
    center, spread = kind.scale(examples)
    assert (center, spread) == (4.0, pytest.approx(5**0.5))
    scaled = replace(context(bert), center=center, spread=spread)
    encoded = kind.encode(examples, scaled, training=True)
    labels = np.array(encoded.columns["labels"])
    assert labels.mean() == pytest.approx(0)
    assert labels.std() == pytest.approx(1)
    assert kind.predictions(labels[:, None], encoded, examples, scaled) == pytest.approx([1.0, 3.0, 5.0, 7.0])


def test_equal_scores_are_a_scale_too() -> None:
    assert KINDS["regression"].scale([{"score": 2.5}] * 3) == (2.5, 1.0)
    with pytest.raises(ValueError, match=r"'score': up to 1e\+308 in train, too large"):
        KINDS["regression"].scale([{"score": 1e308}, {"score": -1e308}, {"score": 1e308}])


def test_texts_that_are_cut_are_counted(bert: Path) -> None:
    examples = [{"text": "good " * length, "label": "a"} for length in (2, 30)]
    encoded = KINDS["classification"].encode(examples, context(bert, max_length=10), training=True)
    assert [len(ids) for ids in encoded.columns["input_ids"]] == [4, 10]
    assert encoded.cut == 1


@pytest.mark.parametrize("max_length", [64, 6, 3])
@pytest.mark.parametrize("model", ["bert", "gpt2"])
def test_no_word_is_lost_in_a_long_sentence(request: pytest.FixtureRequest, model: str, max_length: int) -> None:
    """Outputs that are right for every row give back the tags of every word, however the sentence is cut."""
    kind = KINDS["ner"]
    tokens = ["the", "good", "film", "was", "a", "very", "lovely", "day", "and", "the", "meal", "was", "quite", "bad"]
    tags = ["O", "B-a", "I-a", "O", "O", "O", "B-b", "I-b", "O", "O", "B-a", "O", "O", "B-b"]
    examples = [kind.example({"tokens": tokens, "tags": tags}), kind.example({"tokens": ["bad"], "tags": ["B-b"]})]
    known = context(request.getfixturevalue(model), max_length=max_length)
    encoded = kind.encode(examples, known, training=False)
    assert all(len(ids) <= max_length for ids in encoded.columns["input_ids"])
    assert sorted(set(encoded.examples)) == [0, 1]
    outputs = [np.eye(len(tags_of(known.labels)))[np.maximum(labels, 0)] for labels in encoded.columns["labels"]]
    assert kind.predictions(outputs, encoded, examples, known) == [tags, ["B-b"]]


def test_a_word_that_the_tokenizer_drops_is_outside(bert: Path) -> None:
    kind = KINDS["ner"]
    example = kind.example({"tokens": ["good", " ", "film"], "tags": ["B-a", "O", "B-b"]})
    known = context(bert)
    encoded = kind.encode([example], known, training=False)
    assert encoded.words == [[0, 2]]
    outputs = [np.eye(5)[np.maximum(labels, 0)] for labels in encoded.columns["labels"]]
    assert kind.predictions(outputs, encoded, [example], known) == [["B-a", "O", "B-b"]]


def test_entities_stand_between_markers() -> None:
    example = KINDS["relation_extraction"].example(RELATION)
    untyped = marker_words([example], typed=False)
    assert untyped == ("[HEAD]", "[/HEAD]", "[TAIL]", "[/TAIL]")
    assert marked_text(example, untyped) == "the [HEAD]film[/HEAD] was good and the [TAIL]meal[/TAIL] was bad"
    typed = marker_words([example], typed=True)
    assert (
        marked_text(example, typed)
        == "the [HEAD:ART]film[/HEAD:ART] was good and the [TAIL:FOOD]meal[/TAIL:FOOD] was bad"
    )
    other = {**example, "tail": {**example["tail"], "type": "NEW"}}
    assert "[TAIL]meal[/TAIL]" in marked_text(other, typed)


def test_a_text_that_holds_a_marker_is_not_taken_for_one() -> None:
    text = "[HEAD] film was bad"
    example = {"text": text, "head": {"start": 7, "end": 11}, "tail": {"start": 16, "end": 19}}
    markers = ("[HEAD]", "[/HEAD]", "[TAIL]", "[/TAIL]")
    assert marked_text(example, markers) == "[ HEAD] [HEAD]film[/HEAD] was [TAIL]bad[/TAIL]"


@pytest.mark.parametrize("max_length", [64, 9, 7])
@pytest.mark.parametrize(("model", "speaking"), [("bert", ("[HEAD]", "[TAIL]")), ("gpt2", ("[/HEAD]", "[/TAIL]"))])
def test_a_relation_is_read_off_its_markers(
    request: pytest.FixtureRequest, model: str, speaking: tuple[str, str], max_length: int
) -> None:
    """Head first, also where the tail comes first, and also where most of the text had to go."""
    kind = KINDS["relation_extraction"]
    swapped = {**RELATION, "head": RELATION["tail"], "tail": RELATION["head"]}
    examples = [kind.example(row) for row in (RELATION, swapped)]
    known = context(
        request.getfixturevalue(model),
        labels=("after", "before"),
        markers=marker_words(examples, typed=False),
        max_length=max_length,
    )
    encoded = kind.encode(examples, known, training=True)
    tokenizer = known.model.tokenizer_with(known.markers)
    for ids, places in zip(encoded.columns["input_ids"], encoded.columns["marker_places"], strict=True):
        assert len(ids) <= max_length
        assert tuple(tokenizer.convert_ids_to_tokens([ids[place] for place in places])) == speaking
    assert encoded.cut == (2 if max_length < 15 else 0)
    loaded = kind.load(known).eval()
    batch = kind.collator(known, training=True)(
        [{name: column[row] for name, column in encoded.columns.items()} for row in (0, 1)]
    )
    output = loaded(**batch)
    assert output.logits.shape == (2, 2)
    output.loss.backward()
    assert (loaded.markers.weight.grad.abs().sum(1) > 0).all()


def test_without_markers_a_marked_model_sees_what_its_base_sees(bert: Path) -> None:
    kind = KINDS["relation_extraction"]
    known = context(bert, markers=("[HEAD]", "[/HEAD]", "[TAIL]", "[/TAIL]"))
    marked = kind.load(known).eval()
    base = known.model.load("AutoModel").eval()
    batch = known.model.tokenizer(["the film was good"], return_tensors="pt")
    seen: list[torch.Tensor] = []
    marked.dropout.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        marked(**batch, marker_places=torch.tensor([[1, 3]]))
        states = base(**batch).last_hidden_state
    assert torch.equal(seen[0], torch.cat([states[:, 1], states[:, 3]], dim=1))


def test_a_decoder_learns_the_target_alone_and_writes_on_from_the_prompt(gpt2: Path) -> None:
    kind = KINDS["translation"]
    known = context(gpt2, labels=(), prompt="the {source} is", generation={"max_new_tokens": 4})
    examples = [{"source": "good film", "target": "bad day"}, {"source": "film", "target": "a a a a a a"}]
    tokenizer = known.model.tokenizer

    def words(ids: list[int]) -> str:
        return " ".join(tokenizer.convert_ids_to_tokens([token for token in ids if token >= 0]))

    training = kind.encode(examples, known, training=True).columns
    assert [words(ids) for ids in training["labels"]] == ["bad day [SEP]", "a a a [SEP]"]
    assert all(ids[-1] == tokenizer.eos_token_id for ids in training["input_ids"])
    evaluation = kind.encode(examples, known, training=False).columns
    assert [words(ids).removeprefix("[CLS] ") for ids in evaluation["input_ids"]] == [
        "the good film is",
        "the film is",
    ]
    rows = [{name: column[row] for name, column in evaluation.items()} for row in (0, 1)]
    left = kind.collator(known, training=False)(rows)
    assert left["attention_mask"].tolist()[1][0] == 0
    right = kind.collator(known, training=True)(rows)
    assert right["attention_mask"].tolist()[1][-1] == 0


def test_a_long_source_is_cut_and_the_prompt_around_it_stays(gpt2: Path) -> None:
    kind = KINDS["summarization"]
    known = context(gpt2, labels=(), prompt="the {document} is", generation={"max_new_tokens": 4}, max_length=8)
    examples = [{"document": "good " * 40, "summary": "bad"}, {"document": "good", "summary": "bad"}]
    encoded = kind.encode(examples, known, training=False)
    tokens = known.model.tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"][0])
    assert encoded.cut == 1
    assert len(tokens) <= 8
    assert tokens[-1] == "is"
    assert tokens.count("good") >= 4


def test_an_encoder_decoder_reads_source_and_target_apart(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    sizes = dict(vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    folder = tmp_path / "tiny_t5"
    AutoModelForSeq2SeqLM.from_config(
        AutoConfig.for_model("t5", decoder_start_token_id=0, pad_token_id=0, eos_token_id=3, **sizes)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    kind = KINDS["translation"]
    known = context(folder, labels=(), prompt="the {source}", generation={"max_new_tokens": 5})
    encoded = kind.encode([{"source": "good film", "target": "bad day"}], known, training=True).columns
    convert = known.model.tokenizer.convert_ids_to_tokens
    assert convert(encoded["input_ids"][0]) == ["[CLS]", "the", "good", "film", "[SEP]"]
    assert convert(encoded["labels"][0]) == ["[CLS]", "bad", "day", "[SEP]"]
    assert kind.task_type(known.model.config) == "SEQ_2_SEQ_LM"
