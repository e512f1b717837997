"""Translation and summarization: generation from one column, with a prompt of its own."""

from __future__ import annotations

from transformers import PretrainedConfig

from ..errors import UserError
from ..tasks import Task
from ..words import quoted
from .base import Example
from .generation import METRICS, Generation
from .prompts import placeholders


class _FromSource(Generation):
    """Generation from one column, with a prompt of its own where the task has none."""

    settings = ("prompt", "source_prefix")

    def required(self, task: Task) -> tuple[str, ...]:
        source, target = self.columns
        return tuple(dict.fromkeys((source, *placeholders(task.prompt), target)))

    def optional(self, task: Task) -> tuple[str, ...]:
        return self.optional_columns

    def check_task(self, task: Task) -> None:
        super().check_task(task)
        source = self.columns[0]
        if task.prompt and source not in placeholders(task.prompt):
            found = quoted(placeholders(task.prompt))
            raise UserError(f"task '{task.name}': prompt: {{{source}}} is missing, its columns are {found}")

    def prompt_for(self, task: Task, config: PretrainedConfig) -> str:
        source = f"{{{self.columns[0]}}}"
        if config.is_encoder_decoder and (task.source_prefix or not task.prompt):
            return task.source_prefix + source
        return task.prompt or f"{source}\n\n"

    def example(self, row: Example) -> Example:
        target = self.columns[1]
        example = super().example({"target" if column == target else column: row[column] for column in row})
        return {target if column == "target" else column: value for column, value in example.items()}


class Translation(_FromSource):
    """Columns `source` and `target`."""

    name = "translation"
    columns = ("source", "target")
    metrics = ("translation", *(name for name in METRICS if name != "translation"))


class Summarization(_FromSource):
    """Columns `document` and `summary`."""

    name = "summarization"
    columns = ("document", "summary")
    metrics = ("summarization", *(name for name in METRICS if name != "summarization"))
