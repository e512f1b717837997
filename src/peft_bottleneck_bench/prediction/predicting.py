"""Predictions of a saved adapter: from its folder to one answer per example."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from ..data.file_rows import Row
from ..errors import UserError
from ..saved.initial import check_weights
from ..saved.saved import Saved
from ..words import counted
from .plain_lines import entities
from .predictor import Predictor
from .rows import Placed, examples, from_file


def predict(
    folder: Path | str,
    inputs: Iterable[str | Mapping[str, object]] | Path,
    *,
    batch_size: int = 32,
    model: str | None = None,
    quantization: str | None = None,
    prefix_store: Path | None = None,
    note: Callable[[str], object] = warnings.warn,
) -> Iterator[Row]:
    """One row per example: its columns, what the adapter predicts, and for labels the `probabilities` of all.

    Args:
        folder: the folder that a run saved, below `adapters`, or its address, such as `s3://bucket/results-adapters/…`.
        inputs: texts, or rows with the columns of the task, or a file of them (`Path("-")`: standard input).
        batch_size: rows that the model sees at once.
        model: another place of the base model; by default its place in training.
        quantization: of the base, `8bit`, `4bit` or `none`; by default as in training.
        prefix_store: a folder that keeps what the blocks below the adapter give for each example, such as the
            `<results>-prefix` of the run: later predictions, also of other adapters, begin above them.
        note: is called with notes: another base, inputs that were cut.

    Raises:
        UserError: the folder is damaged or does not fit its base, or an example is wrong; answers to those before it
            come first.
    """
    saved = Saved.read(folder)
    base = saved.base(model, quantization)
    if not saved.is_base(base):
        note("the base has other weights than the one that was trained on")
    context = saved.context(base)
    saved.kind.check_model(base)
    check_weights(saved, saved.content.method, saved.content.options, saved.kind, context)
    placed = from_file(str(inputs)) if isinstance(inputs, Path) else _placed(inputs)
    batches = _batches(examples(placed, saved, context), batch_size)
    first = next(batches, None)  # its faults are reported before the weights are read
    if first is None:
        raise UserError(f"{inputs if isinstance(inputs, Path) else 'inputs'}: there is nothing to predict in it")
    predictor = Predictor(saved, base, prefix_store)
    for batch in chain([first], batches):
        for example, answer in zip(batch, predictor(batch, batch_size), strict=True):
            yield _answered(example, answer)
    if predictor.cut:
        note(f"{counted(predictor.cut, 'example')} cut to max_length, {predictor.context.max_length} tokens")


def _placed(inputs: Iterable[str | Mapping[str, object]]) -> Iterator[Placed]:
    for number, content in enumerate(inputs, start=1):
        yield f"text {number}", content if isinstance(content, str) else dict(content)


def _answered(example: Row, answer: Row) -> Row:
    """The example in the form of the task's data, with the model's answer."""
    row = {**example, **answer}
    words = row.pop("words", None)
    return row if words is None else {**row, "entities": entities(row["text"], words, row["tags"])}


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Rows in lists of `size`; those before a row that is wrong come before its error."""
    batch = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == size:
                yield batch
                batch = []
    except UserError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
