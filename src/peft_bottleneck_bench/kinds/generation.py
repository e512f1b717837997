"""Text from text: translation and summarization, with encoder–decoders and with decoder-only models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .base import Encoded, Example, Kind, Setting

IGNORED = -100


class Generation(Kind):
    """A source and a target text.

    The model reads the task's prompt with the source in it, and is trained on the target alone: in a decoder-only
    model the prompt is part of the same sequence and has no loss. For evaluation the model writes on from the prompt
    (`generate`), which is then padded on the left. Prompts longer than `max_length` lose the end of their source.
    """

    generates = True

    def example(self, row: Example) -> Example:
        for column in self.columns:
            if not isinstance(row[column], str) or not row[column].strip():
                raise ValueError(f"'{column}' must be text, found {row[column]!r}")
        return row

    def stand_in(self, row: Example, setting: Setting) -> Any:
        return "?"

    def references(self, examples: Sequence[Example]) -> list[Any]:
        return [example[self.columns[1]] for example in examples]

    def auto_class(self, config: Any) -> str:
        return "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModelForCausalLM"

    def task_type(self, config: Any) -> str:
        return "SEQ_2_SEQ_LM" if config.is_encoder_decoder else "CAUSAL_LM"

    def encode(self, examples: Sequence[Example], setting: Setting, *, training: bool) -> Encoded:
        source, target = self.columns
        prompts = [_prompt_ids(example[source], source, setting) for example in examples]
        cut = sum(was_cut for _, was_cut in prompts)
        tokenizer, most = setting.model.tokenizer, setting.generation["max_new_tokens"]
        written = [example[target] for example in examples]
        columns: dict[str, list[Any]] = {"input_ids": [ids for ids, _ in prompts]}
        if setting.model.config.is_encoder_decoder:
            columns["labels"] = tokenizer(text_target=written, truncation=True, max_length=most)["input_ids"]
        else:
            # A space before the target, as between any two words; the end token is what the model learns to stop at.
            targets = tokenizer([f" {text}" for text in written], add_special_tokens=False)["input_ids"]
            targets = [[*ids[: most - 1], tokenizer.eos_token_id] for ids in targets]
            if training:
                columns["labels"] = [
                    [IGNORED] * len(ids) + end for ids, end in zip(columns["input_ids"], targets, strict=True)
                ]
                columns["input_ids"] = [ids + end for ids, end in zip(columns["input_ids"], targets, strict=True)]
            else:
                columns["labels"] = targets
        columns["attention_mask"] = [[1] * len(ids) for ids in columns["input_ids"]]
        return Encoded(columns, range(len(examples)), cut)

    def collator(self, setting: Setting, *, training: bool) -> Any:
        left = not training and not setting.model.config.is_encoder_decoder
        return _padding(setting.model.tokenizer.pad_token_id, left=left)

    def predictions(
        self, outputs: Sequence[Any], encoded: Encoded, examples: Sequence[Example], setting: Setting
    ) -> list[Any]:
        tokenizer = setting.model.tokenizer
        ids = [[token if token >= 0 else tokenizer.pad_token_id for token in output] for output in outputs]
        return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


class Translation(Generation):
    """Columns `source` and `target`."""

    name = "translation"
    columns = ("source", "target")
    metrics = ("translation", "summarization", "answer", "number", "choice")


class Summarization(Generation):
    """Columns `document` and `summary`."""

    name = "summarization"
    columns = ("document", "summary")
    metrics = ("summarization", "translation", "answer", "number", "choice")


def _prompt_ids(text: str, column: str, setting: Setting) -> tuple[list[int], bool]:
    """The prompt with `text` in it, as tokens, and whether `text` had to be cut for it to fit."""
    tokenizer = setting.model.tokenizer

    def ids_of(content: str) -> list[int]:
        ids: list[int] = tokenizer(setting.prompt.replace(f"{{{column}}}", content))["input_ids"]
        # What follows the prompt in a decoder-only model is the target, not the end.
        ends = not setting.model.config.is_encoder_decoder and ids[-1] == tokenizer.eos_token_id
        return ids[:-1] if ends else ids

    ids = ids_of(text)
    if len(ids) <= setting.max_length:
        return ids, False
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    room = setting.max_length - (len(ids) - len(encoded["input_ids"]))
    end = encoded["offset_mapping"][max(room - 1, 0)][1]
    return ids_of(text[:end])[: setting.max_length], True


def _padding(pad: int, *, left: bool) -> Callable[[list[dict[str, list[int]]]], dict[str, torch.Tensor]]:
    fill = {"input_ids": pad, "attention_mask": 0, "labels": IGNORED}

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        batch = {}
        for name in rows[0]:
            length = max(len(row[name]) for row in rows)
            padded = []
            for row in rows:
                padding = [fill[name]] * (length - len(row[name]))
                padded.append(padding + row[name] if left else row[name] + padding)
            batch[name] = torch.tensor(padded)
        return batch

    return collate
