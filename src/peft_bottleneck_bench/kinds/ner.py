"""Named entities: one IOB2 tag per word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from transformers import DataCollatorForTokenClassification

from ..models.base_model import BaseModel
from .base import IGNORED, Answers, Collator, Columns, Context, Encoded, Example, Kind, Outputs, filled_up
from .classification import label_options


class Ner(Kind):
    """Columns `tokens`, a list of words, and `tags`, as many tags in strict IOB2.

    A word's tag comes from its first sub-word, or in a decoder-only model from its last. A
    sentence longer than `max_length` is cut between words into several rows, so that no word is lost.
    """

    name = "ner"
    columns = ("tokens", "tags")
    metrics = ("seqeval",)
    label_column = "tags"
    settings = ("labels", "scheme")
    fewest_labels = 1
    head_class = "AutoModelForTokenClassification"
    peft_task = "TOKEN_CLS"

    def example(self, row: Example) -> Example:
        tokens, tags = row["tokens"], row["tags"]
        for column, values in (("tokens", tokens), ("tags", tags)):
            if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
                raise ValueError(f"'{column}' must be a list of text, found {values!r}")
        if len(tokens) != len(tags):
            raise ValueError(f"{len(tokens)} tokens but {len(tags)} tags")
        for position, (before, tag) in enumerate(pairwise(["O", *tags])):
            if tag != "O" and (tag[:2] not in ("B-", "I-") or not tag[2:].strip()):
                raise ValueError(f"tag {position} is {tag!r}: expected O, B-TYPE or I-TYPE; see `scheme`")
            if tag[:2] == "I-" and before[2:] != tag[2:]:
                raise ValueError(
                    f"tag {position} is {tag!r} after {before!r}: in IOB2 an entity starts with B-; "
                    "for IOB1 write `scheme: iob1`"
                )
        return {"tokens": list(tokens), "tags": list(tags)}

    def stand_in(self, row: Example, context: Context) -> object:
        return ["O"] * (len(row["tokens"]) if isinstance(row["tokens"], list) else 0)

    def labels_of(self, example: Example) -> Sequence[str]:
        """The type of each entity: a tag that train happens to lack (I- of a type of single words) is still known."""
        return [tag[2:] for tag in example["tags"] if tag[:2] == "B-"]

    def input_text(self, example: Example) -> str:
        return " ".join(example["tokens"])

    def model_options(self, context: Context) -> dict[str, object]:
        return label_options(tags_of(context.labels))

    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        numbers = {tag: number for number, tag in enumerate(tags_of(context.labels))}
        columns: Columns = {}
        owners, words = [], []
        for owner, example in enumerate(examples):
            for start, inputs, positions in _rows(example["tokens"], context):
                labels = [IGNORED] * len(inputs["input_ids"])
                for word, position in positions.items():
                    labels[position] = numbers[example["tags"][start + word]]
                for name, values in {**inputs, "labels": labels}.items():
                    columns.setdefault(name, []).append(values)
                owners.append(owner)
                words.append([start + word for word in positions])
        return Encoded(columns, owners, words=words)

    def collator(self, context: Context, *, training: bool) -> Collator:
        collate: Collator = DataCollatorForTokenClassification(context.model.tokenizer, label_pad_token_id=IGNORED)
        return collate

    def predictions(
        self, outputs: Outputs, encoded: Encoded, examples: Sequence[Example], context: Context
    ) -> Answers:
        """A word that the tokenizer drops (a control character, for example) is outside every entity."""
        tags = tags_of(context.labels)
        predicted = [["O"] * len(example["tokens"]) for example in examples]
        for row, owner in enumerate(encoded.examples):
            labelled = [position for position, label in enumerate(encoded.columns["labels"][row]) if label != IGNORED]
            for word, position in zip(encoded.words[row], labelled, strict=True):
                predicted[owner][word] = tags[int(np.asarray(outputs[row][position]).argmax())]
        return predicted


def tags_of(types: Sequence[str]) -> list[str]:
    """The IOB2 tags of entity types, O first."""
    return ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]


def _rows(words: Sequence[str], context: Context) -> Iterator[tuple[int, dict[str, list[int]], dict[int, int]]]:
    """The rows of a sentence: the first word of each, its inputs, and the token that represents each of its words."""
    start = 0
    while start < len(words) or start == 0:
        inputs, tokens_of_words = _tokenize(words[start:], context.model)
        fits = len(inputs["input_ids"]) <= context.max_length
        if not fits:
            room = context.max_length - context.model.tokenizer.num_special_tokens_to_add()
            count = _words_that_fit(tokens_of_words, len(words) - start, room)
            inputs, tokens_of_words = _tokenize(words[start : start + count], context.model)
            if len(inputs["input_ids"]) > context.max_length:  # a single word of more sub-words than fit
                inputs = {name: values[: context.max_length] for name, values in inputs.items()}
        speaker = -1 if context.model.is_causal else 0
        limit = len(inputs["input_ids"]) - 1
        yield start, inputs, {word: min(tokens[speaker], limit) for word, tokens in tokens_of_words.items()}
        if fits:
            return
        start += count


def _words_that_fit(tokens_of_words: dict[int, list[int]], words: int, room: int) -> int:
    """How many words from the start take at most `room` tokens: at least one."""
    used = 0
    for word in range(words):
        used += len(tokens_of_words.get(word, ()))
        if used > room:
            return max(1, word)
    return words


def _tokenize(words: Sequence[str], model: BaseModel) -> tuple[dict[str, list[int]], dict[int, list[int]]]:
    """The inputs for the words joined by spaces, and the tokens that each word became.

    Aligned by characters, which every fast tokenizer returns; byte-level tokenizers need settings of their own to
    split into words.
    """
    owner: list[int] = []  # of each character
    for number, word in enumerate(words):
        owner += [number] * (len(word) + 1)
    text = " ".join(words)
    inputs = dict(model.tokenizer([text], return_offsets_mapping=True))
    offsets = inputs.pop("offset_mapping")[0]
    inputs = {name: values[0] for name, values in filled_up(inputs, model.tokenizer).items()}
    tokens: dict[int, list[int]] = {}
    for position, (start, end) in enumerate(offsets):
        if text[start:end].strip():  # special tokens have no characters, and some tokens are a space alone
            tokens.setdefault(owner[end - 1], []).append(position)
    return inputs, tokens
