"""The harness as functions; the command line is a thin layer over them.

from peft_bottleneck_bench import leaderboard, load_configuration, plan, predict, read_records, run_grid

configuration = load_configuration("quickstart", ["seeds=[0]", "methods=[houlsby, lora]"])
outcome = run_grid(plan(configuration))
records, left_out = read_records(configuration.results)
for board in leaderboard(records):
    print(board.title, [row.method for row in board.rows])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from . import records
from .boards import Board as Board
from .boards import boards
from .configuration.choices import Configuration as Configuration
from .configuration.reading import load_configuration as load_configuration
from .grid import running
from .grid.engines import Engine
from .grid.fit import memory_notes
from .grid.jobs import Jobs as Jobs
from .grid.parameter_budget import budget_notes
from .grid.plan import data_notes, head_notes
from .grid.running import Outcome as Outcome
from .grid.search import Search, plan_grid
from .prediction.predicting import predict as predict
from .records import Record as Record
from .records import remote
from .run import Run


@dataclass(frozen=True)
class Plan:
    """All runs of a configuration, each checked before any of them starts.

    Args:
        runs: those with settings in the configuration.
        searches: each with its trials, and with final runs of the best.
    """

    runs: tuple[Run, ...]
    searches: tuple[Search, ...]

    def shard(self, part: int, parts: int) -> Plan:
        """Part `part`, from 1, of `parts` parts of the plan: the same at every call."""
        return replace(self, runs=self.runs[part - 1 :: parts], searches=self.searches[part - 1 :: parts])

    @property
    def notes(self) -> list[str]:
        """Notes on the data, on heads that start fresh, on a budget and on memory, one line each."""
        known = self.known_runs
        return [*data_notes(known), *head_notes(known), *budget_notes(known), *memory_notes(known)]

    @property
    def known_runs(self) -> list[Run]:
        """The runs, and the trials of searches whose settings are known."""
        return [*self.runs, *(trial for search in self.searches for trial in search.state().trials)]

    @property
    def records(self) -> dict[Path, Record]:
        """The existing records of the runs and of the final runs of searches, by their files."""
        return running.known_records(self.runs, self.searches)


def plan(configuration: Configuration) -> Plan:
    """The runs of `configuration`. Reads all data, and tries every method on every model, without weights.

    Raises:
        UserError: one message for everything that a run would refuse.
    """
    runs, searches = plan_grid(configuration)
    return Plan(tuple(runs), tuple(searches))


def run_grid(plan: Plan, *, engine: Engine | None = None) -> Outcome:
    """Executes the runs and searches of `plan` that have no finished record.

    A run that raises leaves a record with the reason, and the next one starts.

    Args:
        engine: where runs are executed: `Jobs(4)`, four at once on this machine; by default one after the other.

    Raises:
        KeyboardInterrupt: a signal has asked for the end; finished runs stay.
    """
    return running.run_grid(plan.runs, plan.searches, engine)


def read_records(folder: Path | str) -> tuple[dict[Path, Record], list[str]]:
    """All records below `folder`, a folder or an address, such as `s3://bucket/results`.

    Returns:
        The records by their files, and one sentence for each file that is left out.

    Raises:
        UserError: there is no such folder, or the address cannot be read.
    """
    return records.read_all(remote.fetched_folder(folder))


def leaderboard(records: Mapping[Path, Record]) -> list[Board]:
    """One board per task and model, best method first, with the statistics of `docs/leaderboard/reading.md`.

    Args:
        records: by their files, beside which their predictions are.
    """
    return boards(records)
