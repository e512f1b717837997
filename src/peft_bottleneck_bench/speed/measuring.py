"""All measurements of one model, as the parts of a record."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from types import MappingProxyType
from typing import Any

import torch

from ..errors import UserError, suggest
from ..hardware import hardware
from ..models.base_model import BaseModel
from ..workbench.worker import versions
from ..workbench.workload import NEW_TOKENS, SHORT, Session, Setting, device
from .candidates import HANDLING, INFER, TRAIN, Candidate, Peft, candidates
from .hosts import Hosts, Worker
from .rounds import alternate, paired_ratio, summary

Record = dict[str, Any]
IMPORTS = 5
MEMORY_TURNS = 3  # on a CPU, whose allocator takes some percent more or less from one process to the next
# Turns in a repetition. Training and inference are measured on models that are built anew for every repetition: the
# place of its weights in memory makes a model faster or slower, by a percent or so.
# Short turns are cheap, and on a machine that drifts many of them close together are more exact than few long ones.
TURNS_OF_A_BUILD: Mapping[str, int] = MappingProxyType(
    {"train": 1, "infer_short": 10, "infer_one": 3, "infer_batch": 1, "generate": 1}
)
# Prints the seconds that an import takes after another.
_IMPORT = "import time, {first}; start = time.perf_counter(); import {second}; print(time.perf_counter() - start)"


@dataclass(frozen=True)
class Measurement:
    """The measured model, quantities and candidates.

    Args:
        base: the model.
        batch: rows and tokens of a batch.
        repeats: repetitions.
        peer_python: an interpreter with AdapterHub's library; None leaves it out.
        report: is called with the name of the next measurement.
        dtype: of the base's weights.
        only: the labels of the candidates to measure; their references come with them. Empty for all.
        steps: turns at a quantity on each build; None for those of `TURNS_OF_A_BUILD`.
        quantities: those to measure; empty for all.
    """

    base: BaseModel
    batch: tuple[int, int]
    repeats: int
    peer_python: Path | None
    report: Callable[[str], None]
    dtype: str = "float32"
    only: Sequence[str] = ()
    steps: int | None = None
    quantities: Sequence[str] = ()

    @property
    def setting(self) -> Setting:
        return Setting(self.base.path, self.base.is_causal, *self.batch, torch.get_num_threads(), self.dtype)

    @property
    def rows(self) -> list[Candidate]:
        """The candidates, cut to those that are asked for.

        Raises:
            UserError: there is no candidate of a name.
        """
        rows = candidates(causal=self.base.is_causal, peer=self.peer_python is not None)
        labels = [row.label for row in rows]
        for name in self.only:
            if name not in labels:
                raise UserError(f"--only: unknown candidate '{name}': {suggest(name, labels)}")
        wanted = {*self.only, *(row.reference for row in rows if row.label in self.only)}
        return [row for row in rows if not self.only or row.label in wanted or row.label == "base"]

    def measures(self, quantity: str) -> bool:
        return not self.quantities or quantity in self.quantities

    def frame(self) -> Record:
        """The part of the record that is known before anything is measured."""
        return {
            "model": self.base.identity,
            "batch": list(self.batch),
            "short_length": SHORT,
            "new_tokens": NEW_TOKENS,
            "repeats": self.repeats,
            "dtype": self.dtype,
            "device": str(device()),
            "started": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "hardware": hardware().model_dump(),
            "versions": versions(),
            "candidates": [row.label for row in self.rows],
        }

    def times(self) -> Record:
        """`times`, one entry per quantity and candidate with every turn, and the `peer_versions`.

        Raises:
            UserError: the peer's process could not start or has failed.
        """
        with self.hosts(Session(Peft(), self.setting)) as (taking_turns, peer_versions):
            found = [entry for group in (TRAIN, INFER) for entry in self.over_builds(group, taking_turns)]
            taking_turns.release()
            found += self._handling(taking_turns)
        return {"peer_versions": peer_versions, "times": found}

    @contextmanager
    def hosts(self, ours: Session) -> Iterator[tuple[Hosts, dict[str, str]]]:
        """Our library in this process and, if there is one, the peer in its own; and the peer's versions.

        Raises:
            UserError: the peer's process could not start.
        """
        if self.peer_python is None:
            yield Hosts({"peft": ours}), {}
            return
        peer = Worker.peer(self.peer_python, self.setting)
        try:
            yield Hosts({"peft": ours, "adapterhub": peer}), peer.versions
        finally:
            peer.close()

    def over_builds(self, quantities: Sequence[str], hosts: Hosts) -> Iterator[Record]:
        """The entries of those of these quantities that any row has; its rows are built anew in every repetition."""
        turns = {name: self.steps or count for name, count in TURNS_OF_A_BUILD.items()}
        quantities = [quantity for quantity in quantities if self.measures(quantity) and self._rows_of(quantity)]
        if not quantities:
            return
        found: dict[str, dict[str, list[float]]] = {
            quantity: {row.label: [] for row in self._rows_of(quantity)} for quantity in quantities
        }
        order = self._rows_of(quantities[0])
        shuffle = Random(0).shuffle
        self.report(f"{', '.join(quantities)}: {self.repeats} builds")
        for repetition in range(self.repeats):
            hosts.release()
            shuffle(order)
            for row in order:
                hosts.prepare(row.library, row.name)
            for quantity in quantities:
                new = alternate(self._turns(quantity, hosts), turns[quantity], start=repetition)
                for label, seconds in new.items():
                    found[quantity][label] += seconds
        for quantity in quantities:
            yield from self._entries(quantity, found[quantity], turns[quantity])

    def memory(self, lengths: Sequence[int]) -> list[Record]:
        """The memory that training adds to the loaded model at these lengths, in fresh processes, in turns.

        Raises:
            UserError: a process has failed.
        """
        found: dict[tuple[str, int], list[int]] = {}
        turns = MEMORY_TURNS if device().type == "cpu" else 1  # what PyTorch's allocators count is the same every time
        for turn in range(turns):
            self.report(f"memory at {', '.join(map(str, lengths))} tokens: process {turn + 1} of {turns} each")
            for row in self.rows:
                if not row.memory:
                    continue
                worker = self._worker(row)
                try:
                    for length in sorted(lengths):
                        found.setdefault((row.label, length), []).append(worker.peak_bytes(row.name, length))
                finally:
                    worker.close()
        return [
            {"candidate": label, "length": length, "added_bytes": median(peaks), "peaks": peaks}
            for (label, length), peaks in found.items()
        ]

    def _handling(self, hosts: Hosts) -> Iterator[Record]:
        """The entries of quantities with models of their own."""
        for quantity in HANDLING:
            if not self.measures(quantity) or not self._rows_of(quantity):
                continue
            self.report(f"{quantity}: {self.repeats} repetitions")
            yield from self._entries(quantity, alternate(self._turns(quantity, hosts), self.repeats))

    def _rows_of(self, quantity: str) -> list[Candidate]:
        return [row for row in self.rows if quantity in row.quantities]

    def _turns(self, quantity: str, hosts: Hosts) -> dict[str, Callable[[], float]]:
        return {row.label: partial(hosts.seconds, row.library, row.name, quantity) for row in self._rows_of(quantity)}

    def _entries(self, quantity: str, seconds: dict[str, list[float]], turns: int = 1) -> Iterator[Record]:
        """The part of the record about a quantity."""
        for row in self._rows_of(quantity):
            reference = row.reference if quantity in TRAIN else "base" if row.label != "base" else None
            own = seconds[row.label]
            compared = reference is not None and reference in seconds
            yield {
                "quantity": quantity,
                "candidate": row.label,
                "turns_per_repetition": turns,
                "seconds": own,
                **summary(own),
                "reference": reference if compared else None,
                "ratio": paired_ratio(own, seconds[reference], turns) if reference is not None and compared else None,
            }

    def _worker(self, row: Candidate) -> Worker:
        if row.library == "peft" or self.peer_python is None:
            return Worker.ours(self.setting)
        return Worker.peer(self.peer_python, self.setting)


def import_seconds(turns: int = IMPORTS) -> Record:
    """The times that importing PEFT adds to torch's import, and this package to both, in fresh interpreters.

    The first import of each compiles its modules and is not counted: an installed package has been compiled.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = {}
    for name, first in (("peft", "torch"), ("peft_bottleneck", "peft")):
        command = [sys.executable, "-c", _IMPORT.format(first=first, second=name)]
        _, *seconds = (
            float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
            for _ in range(1 + turns)
        )
        found[name] = {"seconds": seconds, "median": median(seconds)}
    return found
