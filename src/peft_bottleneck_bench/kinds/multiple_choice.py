"""One of a few answers, by how likely the model takes each to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from ..errors import UserError
from ..tasks import Task
from .base import IGNORED, Answers, Collator, Columns, Context, Encoded, Example, Outputs
from .generation import Generation, padding, target_ids
from .prompts import placeholders, prompt_ids


class MultipleChoice(Generation):
    """Columns in braces in the task's `prompt`; `choices`, a list of texts; `answer`, the number of the right one from
    0, its letter or its text; optionally `names`, one for each choice, by which `answer` may call it.

    The model is trained to write the right choice after the prompt. In an evaluation each choice of tokens `c` has the
    score `Σ_t log p(c_t | prompt, c_<t)`. The prediction is the choice with the greatest score, and the one with the
    greatest score per character (lm-eval's `acc` and `acc_norm`).
    """

    name = "multiple_choice"
    columns: ClassVar[tuple[str, ...]] = ("choices", "answer")
    optional_columns = ("names",)
    metrics: ClassVar[tuple[str, ...]] = ("multiple_choice",)
    generates = False
    scores_labels = True

    def required(self, task: Task) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*placeholders(task.prompt), *self.columns)))

    def optional(self, task: Task) -> tuple[str, ...]:
        return self.optional_columns

    def check_task(self, task: Task) -> None:
        super().check_task(task)
        if not task.prompt:
            raise UserError(f"task '{task.name}': prompt: it is missing, as in 'Question: {{question}}\\nAnswer:'")

    @property
    def predicted(self) -> tuple[str, ...]:
        return ("answer", "names")

    def example(self, row: Example) -> Example:
        choices = row["choices"]
        if not isinstance(choices, (list, tuple)) or len(choices) < 2:
            raise ValueError(f"'choices' must be a list of two texts or more, found {choices!r}")
        if not all(isinstance(choice, str) and choice.strip() for choice in choices):
            raise ValueError(f"'choices' must be texts, found {choices!r}")
        names = row.get("names")
        if names is not None and (not isinstance(names, (list, tuple)) or len(names) != len(choices)):
            raise ValueError(f"'names' must have one for each of the {len(choices)} choices, found {names!r}")
        return {**row, "choices": list(choices), "answer": _number(row["answer"], choices, names)}

    def stand_in(self, row: Example, context: Context) -> object:
        return 0

    def references(self, examples: Sequence[Example]) -> Answers:
        return [example["answer"] for example in examples]

    def input_text(self, example: Example) -> str:
        return "\n".join([*map(str, example["choices"]), super().input_text(_without(example, "choices"))])

    def target(self, example: Example) -> str:
        return str(example["choices"][example["answer"]])

    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        if training:
            return super().encode(examples, context, training=True)
        columns: Columns = {"input_ids": [], "labels": [], "attention_mask": []}
        owners = []
        cut = 0
        for owner, example in enumerate(examples):
            prompt, was_cut = prompt_ids(example, context.prompt, context.model, context.max_length)
            cut += was_cut
            for choice in target_ids(example["choices"], context):
                ids, labels = prompt, choice
                if not context.model.config.is_encoder_decoder:
                    # Each label is at the place that predicts it, as in the decoder of an encoder–decoder.
                    ids, labels = [*prompt, *choice], [*[IGNORED] * (len(prompt) - 1), *choice, IGNORED]
                columns["input_ids"].append(ids)
                columns["labels"].append(labels)
                columns["attention_mask"].append([1] * len(ids))
                owners.append(owner)
        return Encoded(columns, owners, cut)

    def collator(self, context: Context, *, training: bool) -> Collator:
        return padding(context.model.tokenizer.pad_token_id, left=False)

    def outputs(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The log-likelihood of the labels of each row, [batch]."""
        logits = super().outputs(logits, labels)
        likely = torch.log_softmax(logits.float(), dim=-1)
        of_label = likely.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return of_label.masked_fill(labels == IGNORED, 0.0).sum(-1)

    def predictions(
        self, outputs: Outputs, encoded: Encoded, examples: Sequence[Example], context: Context
    ) -> Answers:
        scores: list[list[float]] = [[] for _ in examples]
        for owner, output in zip(encoded.examples, outputs, strict=True):
            scores[owner].append(float(output))
        return [
            [_greatest(of_choice), _greatest([s / len(c) for s, c in zip(of_choice, example["choices"], strict=True)])]
            for of_choice, example in zip(scores, examples, strict=True)
        ]


def _greatest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda number: values[number])


def _number(answer: object, choices: Sequence[str], names: Sequence[object] | None) -> int:
    if names is not None and str(answer) in map(str, names):
        return [str(name) for name in names].index(str(answer))
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return answer
    if isinstance(answer, str):
        if answer in choices:
            return list(choices).index(answer)
        if len(answer.strip()) == 1 and 0 <= (number := ord(answer.strip().upper()) - ord("A")) < len(choices):
            return number
    raise ValueError(
        f"'answer' must be a number from 0 to {len(choices) - 1}, a letter or one of the choices, found {answer!r}"
    )


def _without(example: Mapping[str, Any], column: str) -> Example:
    return {name: value for name, value in example.items() if name != column}
