"""Text from prompts and conversations, with encoder–decoders and decoder-only models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..errors import UserError
from ..models.base_model import BaseModel
from ..tasks import Task
from .base import IGNORED, Answers, Collator, Columns, Context, Encoded, Example, Kind, Outputs
from .causality import sees_later_tokens
from .prompts import (
    checked_messages,
    conversation_ids,
    conversation_text,
    never_empty,
    placeholders,
    prompt_ids,
)

METRICS = ("answer", "translation", "summarization", "number", "choice")


class Generation(Kind):
    """Columns in braces in the task's `prompt`, or `messages`; `target`, a text or a list of them; optionally
    `reference`, which the metric compares with in place of the target.

    The model reads the prompt with the columns filled in, and learns the target alone (the first of several): in a
    decoder-only model the prompt is part of the same sequence and has no loss. In evaluation the model continues the
    prompt (`generate`), which is then padded on the left. A prompt longer than `max_length` loses the end of its
    longest column. An empty list as target says that there is no answer: the model learns to write nothing.

    `messages` are the turns of a conversation, in the model's own chat template or a plain one. The model learns
    every turn of the assistant and nothing else; in evaluation it writes the last one. A
    conversation that is too long loses its oldest turns after the system's.
    """

    name = "generation"
    columns: ClassVar[tuple[str, ...]] = ("target",)
    optional_columns = ("reference",)
    metrics: ClassVar[tuple[str, ...]] = METRICS
    settings: ClassVar[tuple[str, ...]] = ("prompt",)
    generates = True
    fresh_head = False

    def required(self, task: Task) -> tuple[str, ...]:
        if not task.prompt:
            return ("messages",)
        return tuple(dict.fromkeys((*placeholders(task.prompt), *self.columns)))

    def optional(self, task: Task) -> tuple[str, ...]:
        return self.optional_columns if task.prompt else ("target", *self.optional_columns)

    def check_task(self, task: Task) -> None:
        super().check_task(task)
        if task.prompt and not placeholders(task.prompt):
            raise UserError(f"task '{task.name}': prompt: no column in braces, as in {{question}}, in {task.prompt!r}")
        if "target" in placeholders(task.prompt):
            raise UserError(f"task '{task.name}': prompt: {{target}} is what the model has to write")

    def prompt_for(self, task: Task, config: PretrainedConfig) -> str:
        """What a model of this configuration reads; empty for conversations."""
        return task.prompt

    def example(self, row: Example) -> Example:
        example = dict(row)
        if "messages" in row:
            example["messages"] = checked_messages(row["messages"], "messages")
            if "target" not in row:
                *before, last = example["messages"]
                if last["role"] != "assistant":
                    raise ValueError("'messages' must end with what the assistant says, or `target` must hold it")
                example |= {"messages": before, "target": last["content"]}
        for column, value in example.items():
            if column in ("target", "reference"):
                example[column] = _texts(value, column)
            elif column != "messages" and (isinstance(value, bool) or not isinstance(value, (str, int, float))):
                raise ValueError(f"'{column}' must be text, found {value!r}")
        return example

    def stand_in(self, row: Example, context: Context) -> object:
        return "?"

    def references(self, examples: Sequence[Example]) -> Answers:
        return [example.get("reference", example[self.columns[-1]]) for example in examples]

    def input_text(self, example: Example) -> str:
        if "messages" in example:
            return "\n".join(message["content"] for message in example["messages"])
        return "\n".join(str(value) for column, value in example.items() if column not in self.predicted)

    @property
    def predicted(self) -> tuple[str, ...]:
        """The columns that the model does not read."""
        return (self.columns[-1], "reference")

    def target(self, example: Example) -> str:
        """What the model learns to write."""
        return _first(example[self.columns[-1]])

    def auto_class(self, config: PretrainedConfig) -> str:
        return "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModelForCausalLM"

    def task_type(self, config: PretrainedConfig) -> str:
        return "SEQ_2_SEQ_LM" if config.is_encoder_decoder else "CAUSAL_LM"

    def check_model(self, model: BaseModel) -> None:
        super().check_model(model)
        if sees_later_tokens(model, self.auto_class(model.config)):
            raise UserError(
                f"model '{model.name}' does not fit {self.name}: its tokens see later ones, so that it cannot write; "
                "take a decoder-only model or an encoder–decoder"
            )
        if model.tokenizer.eos_token_id is None:
            raise UserError(
                f"model '{model.name}' does not fit {self.name}: its tokenizer has no end token (`eos_token`), which "
                "a model learns to write after an answer"
            )

    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        if training and not context.prompt and not context.model.config.is_encoder_decoder:
            return self._conversations(examples, context)
        prompts = [self._prompt(example, context) for example in examples]
        cut = sum(was_cut for _, was_cut in prompts)
        written = [self.target(example) for example in examples]
        columns: Columns = {"input_ids": [ids for ids, _ in prompts]}
        targets, cut_targets = _targets(written, context)
        if training and not context.model.config.is_encoder_decoder:
            columns["labels"] = [
                [IGNORED] * len(ids) + end for ids, end in zip(columns["input_ids"], targets, strict=True)
            ]
            columns["input_ids"] = [ids + end for ids, end in zip(columns["input_ids"], targets, strict=True)]
        else:
            columns["labels"] = targets
        columns["attention_mask"] = [[1] * len(ids) for ids in columns["input_ids"]]
        return Encoded(columns, range(len(examples)), cut, cut_targets=cut_targets)

    def _prompt(self, example: Example, context: Context) -> tuple[list[int], bool]:
        if context.prompt:
            return prompt_ids(example, context.prompt, context.model, context.max_length)
        tokenizer = context.model.tokenizer
        special = context.model.config.is_encoder_decoder

        def ids_of(messages: Sequence[Mapping[str, str]]) -> list[int]:
            text = conversation_text([dict(message) for message in messages], tokenizer, reply=True)
            return never_empty(tokenizer(text, add_special_tokens=special)["input_ids"], tokenizer)

        ids, cut = _that_fits(example["messages"], context.max_length, ids_of)
        return ids[-context.max_length :], cut or len(ids) > context.max_length

    def _conversations(self, examples: Sequence[Example], context: Context) -> Encoded:
        """Whole conversations, with a loss on the assistant's turns."""
        room = context.max_length + context.generation["max_new_tokens"]
        columns: Columns = {"input_ids": [], "labels": [], "attention_mask": []}
        cut = 0
        for example in examples:
            last = {"role": "assistant", "content": _first(example["target"])}
            pairs, was_cut = _that_fits(
                [*example["messages"], last],
                room,
                lambda messages: list(zip(*conversation_ids(messages, context.model.tokenizer), strict=True)),
            )
            cut += was_cut or len(pairs) > room
            pairs = pairs[-room:]
            columns["input_ids"].append([token for token, _ in pairs])
            columns["labels"].append([token if said else IGNORED for token, said in pairs])
            columns["attention_mask"].append([1] * len(pairs))
        return Encoded(columns, range(len(examples)), cut)

    def collator(self, context: Context, *, training: bool) -> Collator:
        left = not training and not context.model.config.is_encoder_decoder
        return padding(context.model.tokenizer.pad_token_id, left=left)

    def predictions(
        self, outputs: Outputs, encoded: Encoded, examples: Sequence[Example], context: Context
    ) -> Answers:
        tokenizer = context.model.tokenizer
        # An encoder–decoder's output begins with its start token, which may be the end token.
        start = int(context.model.config.is_encoder_decoder)
        ids = [_until_end(output, start, tokenizer) for output in outputs]
        return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


def generate(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], options: Mapping[str, Any]) -> torch.Tensor:
    """The model's continuation of `inputs`, [batch, length], without the prompt."""
    written: torch.Tensor = model.generate(**inputs, **options)
    return written if model.config.is_encoder_decoder else written[:, inputs["input_ids"].shape[1] :]


def _until_end(output: Any, start: int, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens before the end token, which the model's own configuration may not know, without padding."""
    ids = [int(token) for token in output if token >= 0]
    ends = [place for place, token in enumerate(ids) if place >= start and token == tokenizer.eos_token_id]
    return ids[: ends[0]] if ends else ids


def _texts(value: Any, column: str) -> Any:
    """A text, or a list of them, of which an empty one is an empty text; numbers become text."""
    if isinstance(value, (list, tuple)):
        return [_texts(item, column) for item in value] or ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"'{column}' must be text, found {value!r}")
    return value


def _first(value: object) -> str:
    return str(value[0] if isinstance(value, list) else value)


def target_ids(texts: Sequence[str], context: Context) -> list[list[int]]:
    """The texts as tokens after a prompt, without an end token."""
    tokenizer = context.model.tokenizer
    if context.model.config.is_encoder_decoder:
        ids: list[list[int]] = tokenizer(text_target=list(texts))["input_ids"]
        return [row[:-1] if row and row[-1] == tokenizer.eos_token_id else row for row in ids]
    # A space before the target, as between any two words; a chat template ends where the reply begins.
    space = " " if context.prompt else ""
    spaced = [f"{space}{text}" if text else "" for text in texts]
    targets: list[list[int]] = tokenizer(spaced, add_special_tokens=False)["input_ids"]
    return targets


def _targets(written: Sequence[str], context: Context) -> tuple[list[list[int]], int]:
    """The targets as tokens, cut to the length that the model may write, and how many were cut."""
    tokenizer, most = context.model.tokenizer, context.generation["max_new_tokens"]
    if context.model.config.is_encoder_decoder:
        whole: list[list[int]] = tokenizer(text_target=list(written))["input_ids"]
        kept: list[list[int]] = tokenizer(text_target=list(written), truncation=True, max_length=most)["input_ids"]
        return kept, sum(len(ids) > most for ids in whole)
    # The model learns to stop at the end token.
    whole = target_ids(written, context)
    return [[*ids[: most - 1], tokenizer.eos_token_id] for ids in whole], sum(len(ids) > most - 1 for ids in whole)


def _that_fits(
    messages: Sequence[Any], room: int, encode: Callable[[Sequence[Any]], list[Any]]
) -> tuple[list[Any], bool]:
    """The conversation encoded, without its oldest turns where it would not fit, and whether any is left out."""
    system = [message for message in messages[:1] if message["role"] == "system"]
    turns = list(messages[len(system) :])
    encoded = encode([*system, *turns])
    cut = False
    while len(encoded) > room:
        rest = next((n for n in range(1, len(turns)) if turns[n]["role"] == "user"), None)
        if rest is None:
            break
        turns, cut = turns[rest:], True
        encoded = encode([*system, *turns])
    return encoded, cut


def padding(pad: int, *, left: bool) -> Callable[[list[dict[str, list[int]]]], dict[str, torch.Tensor]]:
    """Pads rows to the longest among them, on the right or on the left."""
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
