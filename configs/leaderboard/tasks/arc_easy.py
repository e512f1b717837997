"""ARC's easy questions, from the files of LLM-Adapters, which have a question and its answers in one text."""

import re
from collections.abc import Iterator
from typing import Any

from peft_bottleneck_bench.tasks import Files, Task

FORM = re.compile(
    r"Please choose the correct answer to the question: (.*?)\n\n(Answer1: .*)\n\nAnswer format: .*", re.DOTALL
)


def convert(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The question, its choices, and the number of the right one, of a row with `instruction` and `answer`."""
    if (found := FORM.fullmatch(row["instruction"])) is None:
        raise ValueError(f"'instruction' is no question with answers: {row['instruction'][:80]!r}")
    choices = re.split(r"\s*Answer\d: ", found[2])[1:]
    yield {"question": found[1], "choices": choices, "answer": int(row["answer"].removeprefix("answer")) - 1}


TASK = Task(
    name="arc_easy",
    kind="multiple_choice",
    data=Files(
        train="data/instruction/arc_easy/train.jsonl",
        validation="data/instruction/arc_easy/validation.jsonl",
        test="data/instruction/arc_easy/test.jsonl",
    ),
    convert=convert,
    prompt="Question: {question}\nAnswer:",
    licence="CC BY-SA 4.0",
    source="Clark et al. 2018, arXiv:1803.05457; files of Hu et al. 2023, arXiv:2304.01933",
    description="Questions of primary school's science, with four answers.",
)
