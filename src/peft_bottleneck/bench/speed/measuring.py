"""All measurements of one model, as the parts of a record."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..models.base_model import BaseModel
from ..training.measure import hardware
from .candidates import HANDLING, Candidate, Peft, candidates
from .hosts import Hosts, Worker
from .rounds import alternate, paired_ratio, summary
from .workbench.worker import versions
from .workbench.workload import NEW_TOKENS, SHORT, Session, Setting, device

Record = dict[str, Any]
IMPORTS = 5
# Short turns are cheap, and many of them close together tell more than few long ones on a machine that drifts.
TURNS_PER_REPETITION = {"infer_short": 10, "infer_one": 5, "infer_batch": 2}
# Prints the seconds that an import takes after another.
_IMPORT = "import time, {first}; start = time.perf_counter(); import {second}; print(time.perf_counter() - start)"


@dataclass(frozen=True)
class Measurement:
    """What is to be measured.

    Args:
        base: the model.
        batch: rows and tokens of a batch.
        repeats: repetitions.
        peer_python: an interpreter with AdapterHub's library; None leaves it out.
        report: is told what comes next.
    """

    base: BaseModel
    batch: tuple[int, int]
    repeats: int
    peer_python: Path | None
    report: Callable[[str], None]

    @property
    def setting(self) -> Setting:
        return Setting(self.base.path, self.base.is_causal, *self.batch, torch.get_num_threads())

    @property
    def rows(self) -> list[Candidate]:
        return candidates(causal=self.base.is_causal, peer=self.peer_python is not None)

    def frame(self) -> Record:
        """The part of the record that is known before anything is measured."""
        return {
            "model": self.base.identity,
            "batch": list(self.batch),
            "short_length": SHORT,
            "new_tokens": NEW_TOKENS,
            "repeats": self.repeats,
            "device": str(device()),
            "started": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "hardware": hardware(),
            "versions": versions(),
            "candidates": [row.label for row in self.rows],
        }

    def times(self) -> Record:
        """`times`, one entry per quantity and candidate with every turn, and the `peer_versions`.

        Raises:
            UserError: the peer's process could not start or has failed.
        """
        with ExitStack() as stack:
            ours = Session(Peft(), self.setting)
            hosts: dict[str, Session | Worker] = {"peft": ours}
            peer_versions: dict[str, str] = {}
            if self.peer_python is not None:
                hosts["adapterhub"] = peer = Worker.peer(self.peer_python, self.setting)
                stack.callback(peer.close)
                peer_versions = peer.versions
            taking_turns = Hosts(hosts)
            found = [entry for quantity in self._quantities() for entry in self._times_of(quantity, taking_turns)]
            ours.release()
        return {"peer_versions": peer_versions, "times": found}

    def memory(self, lengths: Sequence[int]) -> list[Record]:
        """What training adds to the loaded model at these lengths, every candidate in a fresh process.

        Raises:
            UserError: a process has failed.
        """
        self.report(f"memory at {', '.join(map(str, lengths))} tokens")
        found = []
        for row in self.rows:
            if not row.memory:
                continue
            worker = self._worker(row)
            try:
                for length in sorted(lengths):
                    peak = worker.peak_bytes(row.name, length)
                    found.append({"candidate": row.label, "length": length, "added_bytes": peak})
            finally:
                worker.close()
        return found

    def import_seconds(self) -> Record:
        """What importing PEFT adds to torch's import, and importing this package to both."""
        self.report("import time")
        seconds = {}
        for name, first in (("peft", "torch"), ("peft_bottleneck", "peft")):
            code = _IMPORT.format(first=first, second=name)
            turns = [
                float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
                for _ in range(IMPORTS)
            ]
            seconds[name] = {"seconds": turns, "median": median(turns)}
        return seconds

    def _quantities(self) -> list[str]:
        return list(dict.fromkeys(quantity for row in self.rows for quantity in row.quantities))

    def _times_of(self, quantity: str, hosts: Hosts) -> list[Record]:
        repeats = self.repeats * TURNS_PER_REPETITION.get(quantity, 1)
        self.report(f"{quantity}: {repeats} repetitions")
        there = [row for row in self.rows if quantity in row.quantities]
        for row in there:
            if quantity not in HANDLING:
                hosts.prepare(row.library, row.name)
        turns = {row.label: partial(hosts.seconds, row.library, row.name, quantity) for row in there}
        seconds = alternate(turns, repeats)
        found = []
        for row in there:
            reference = row.reference if quantity == "train" else "base" if row.label != "base" else None
            own = seconds[row.label]
            compared = reference is not None and reference in seconds
            entry = {
                "quantity": quantity,
                "candidate": row.label,
                "seconds": own,
                **summary(own),
                "reference": reference if compared else None,
                "ratio": paired_ratio(own, seconds[reference]) if reference is not None and compared else None,
            }
            found.append(entry)
        return found

    def _worker(self, row: Candidate) -> Worker:
        if row.library == "peft" or self.peer_python is None:
            return Worker.ours(self.setting)
        return Worker.peer(self.peer_python, self.setting)
