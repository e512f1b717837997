"""What fits in a given memory: bits of the base, gradient checkpointing and batch size, for each method and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..models.methods import method_named
from ..run import Run
from ..terminal import size
from .peak_memory import Form, PeakMemory

COLUMNS = ("model", "method", "task", "bits", "checkpointing", "batch size", "peak memory", "fits", "largest batch")
CHOICES = tuple((bits, again) for bits in (None, "8bit", "4bit") for again in (False, True))
MOST_ROWS = 65_536  # in a batch: nobody asks for more
MANY_ROWS = 128  # of a step, which then outweighs an evaluation


def memory_table(runs: Sequence[Run], memory: int, peaks: PeakMemory) -> Group:
    """For each method on each model: the predicted peak with every choice, whether it fits in `memory`, and up to
    which batch size. Of several tasks, the one that takes most is shown.
    """
    table = Table(*COLUMNS, box=None, header_style="bold")
    for run in _largest(runs, peaks):
        asked = Form.of(run)
        lines = {again: _Line(run, again, peaks) for again in (False, True)}
        for bits, again in CHOICES:
            if bits and not method_named(run.method.name).by_peft:
                continue  # a quantised base trains with adapters only
            form = Form(bits, again, asked.batch_size)
            peak = peaks.of(run, form)
            table.add_row(
                run.model.slug,
                run.method.label,
                run.task.name,
                (bits or "as loaded").removesuffix("bit"),
                "yes" if again else "no",
                str(form.batch_size) + (" (as planned)" if form == asked else ""),
                "?" if peak is None else size(peak),
                "?" if peak is None else "yes" if peak <= memory else "no",
                "?" if peak is None else lines[again].largest_batch(form, peak, memory),
            )
    words = (
        f"\nPredicted peaks against {size(memory)}: weights, gradients, AdamW's state, and a step and an evaluation "
        "of the longest inputs. A GPU takes 0.3 to 0.6 GB more for itself. Bits are `quantization`, checkpointing is "
        "`training.gradient_checkpointing`."
    )
    return Group(Text(), table, Text(words))


class _Line:
    """What a row more takes: the slope where the rows of a step outweigh all else."""

    def __init__(self, run: Run, checkpointing: bool, peaks: PeakMemory) -> None:
        self.run, self.peaks = run, peaks
        self.rows = max(Form.of(run).batch_size, MANY_ROWS)
        few, many, asked = (
            peaks.of(run, Form(None, checkpointing, rows))
            for rows in (self.rows, 2 * self.rows, Form.of(run).batch_size)
        )
        self.known = few is not None and many is not None and asked is not None
        self.start, self.slope, self.asked = few or 0, ((many or 0) - (few or 0)) / self.rows, asked or 0

    def largest_batch(self, form: Form, peak: int, memory: int) -> str:
        """About how many rows fit in the form; fewer bits take so much less at any number of rows."""
        if not self.known or self.slope <= 0:
            return "?"
        saved = self.asked - peak
        rows = int(self.rows + (memory - self.start + saved) / self.slope)
        if peak <= memory:
            rows = max(rows, form.batch_size)
        elif rows >= 1:  # what takes most may not be the step
            least = self.peaks.of(self.run, replace(form, batch_size=1))
            rows = rows if least is not None and least <= memory else 0
        return f"about {min(rows, MOST_ROWS):,}" if rows >= 1 else "none"


def _largest(runs: Sequence[Run], peaks: PeakMemory) -> list[Run]:
    """For each model and method the run that takes most."""
    found: dict[tuple[str, str], Run] = {}
    for run in runs:
        key = (run.model.slug, run.method.label)
        if key not in found or (peaks.of(run) or 0) > (peaks.of(found[key]) or 0):
            found[key] = run
    return list(found.values())
