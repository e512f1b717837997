"""All runs of a configuration, except those that are finished or at another process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .. import interruption, records
from ..errors import UserError
from ..files import StorageError
from ..processes import count, on_main
from ..records import remote
from ..run import Run
from ..words import counted
from .attempt import Result, Unrecorded
from .claims import claim, lock_file
from .engines import Engine, Serial
from .progress import SilentProgress, outcome, show_progress
from .search import Search, unsearched


@dataclass
class Outcome:
    """The result of a grid: the records of all its runs by path, those of earlier starts and other processes included.

    Args:
        hopeless: searches none of whose trials finished, and which therefore have no final runs.
        unrecorded: runs whose record could not be written, and why.
    """

    records: dict[Path, records.Record] = field(default_factory=dict)
    hopeless: list[Search] = field(default_factory=list)
    unrecorded: dict[Path, str] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """How many of the runs that were asked for failed. A failed trial is a result, and does not count."""
        return len(self.hopeless) + [record.status for record in self.records.values()].count("failed")


def run_grid(runs: Sequence[Run], searches: Sequence[Search] = (), engine: Engine | None = None) -> Outcome:
    """Executes every run, every trial and then every final run of a search that has no finished record yet.

    A run that raises is recorded as failed with its reason, and the next one starts; a failed run is tried again when
    the grid is started again, a failed trial is not. A run that another process has claimed is skipped. A run whose
    files cannot be written is left out, and the others go on.

    Raises:
        UserError: several processes are to train a run, and the engine does not start them.
        KeyboardInterrupt: a signal has asked for the end; finished runs stay.
    """
    engine = engine or Serial()
    together = max([run.processes for run in (*runs, *_known(searches))], default=1)
    if together > count() and not engine.launches:
        raise UserError(f"resources.processes: {together}: a cluster starts them (--engine ray), as RayEngine does")
    states = [search.state() for search in searches]
    fixed = len(runs) + sum(len(search.seeds) for search in searches)
    total = fixed + sum(state.expected for state in states)
    earlier = _records([*runs, *_known(searches)])
    trials = {trial.record_path for state in states for trial in state.trials}
    settled = {path for path, record in earlier.items() if path in trials or record.status == "finished"}
    with show_progress(total - len(settled)) as progress, ExitStack() as ending:
        grid = _Grid(engine, progress, earlier, settled, fixed - len(settled))
        ending.callback(grid.close)
        grid.engine.open(progress)
        if settled:
            progress.say(f"{len(settled)} of {total} runs are finished already and are skipped")
        for line in on_main(lambda: _send_earlier([*runs, *_known(searches)], earlier)):
            progress.say(line)
        for line in unsearched(runs) if searches else ():
            progress.say(line)
        grid.run(runs, searches)
        outcome = Outcome(unrecorded=grid.unrecorded)
        for search in searches:
            state = search.state()
            if state.missing:
                progress.left_out(
                    len(search.seeds), f"{search}: waits for {counted(state.missing, 'trial')} of other processes"
                )
            elif state.winner is None:
                progress.left_out(len(search.seeds), f"{search}: no trial finished: there is nothing to choose from")
                outcome.hopeless.append(search)
    outcome.records = known_records(runs, searches)
    return outcome


def known_records(runs: Sequence[Run], searches: Sequence[Search] = ()) -> dict[Path, records.Record]:
    """The records of `runs` and of the final runs of `searches`, by whatever process."""
    return _records([*runs, *(final for search in searches for final in search.finals(search.state()))])


def _known(searches: Sequence[Search]) -> list[Run]:
    """The trials and final runs whose settings follow from the records that there are."""
    states = [(search, search.state()) for search in searches]
    return [run for search, state in states for run in (*state.trials, *search.finals(state))]


def _records(runs: Sequence[Run]) -> dict[Path, records.Record]:
    """The records of `runs` that there are, as the main process finds them."""
    paths = [run.record_path for run in runs]
    return on_main(lambda: {path: record for path in paths if (record := records.read_if_there(path))})


def _send_earlier(runs: Iterable[Run], earlier: Mapping[Path, records.Record]) -> list[str]:
    """Sends to an address what a start that was killed has left here; one line for each address.

    Raises:
        StorageError: it cannot be written to.
    """
    lines = []
    here = [run for run in runs if run.record_path in earlier]
    for folder in dict.fromkeys(run.results for run in here):
        places = [run.record_path for run in here if run.results == folder]
        if unsent := set(remote.unsent(folder, places)):
            for run in here:
                if run.record_path in unsent:
                    _send(run)
            lines.append(
                f"{counted(len(unsent), 'record')} of earlier starts only here: sent to {remote.shown(folder)}"
            )
    return lines


def _send(run: Run) -> None:
    """Sends the files of a run that is over to the addresses of its folders, where they have some: its record last."""
    if run.adapter_path.is_dir():
        remote.send(run.adapters, [run.adapter_path])
    remote.send(run.results, [records.predictions_path(run.record_path), run.record_path])


class _Grid:
    """Gives an engine the runs that are free.

    Args:
        earlier: the records that were there when the grid was started.
        settled: those of them that need no run.
        fixed: how many runs there are to do beside all trials.
    """

    def __init__(
        self,
        engine: Engine,
        progress: SilentProgress,
        earlier: Mapping[Path, records.Record],
        settled: set[Path],
        fixed: int,
    ) -> None:
        self.engine = engine
        self.progress = progress
        self.earlier = earlier
        self.seen = set(settled)
        self.fixed = fixed
        self.searches: Sequence[Search] = ()
        self.claims: dict[Path, ExitStack] = {}
        self.unrecorded: dict[Path, str] = {}
        for path in settled:  # a process that was killed after it wrote the record has left it
            on_main(lambda path=path: _remove(lock_file(path)))  # type: ignore[misc]

    def run(self, runs: Sequence[Run], searches: Sequence[Search]) -> None:
        """Starts all runs, then trials and final runs as soon as their settings are known."""
        self.searches = searches
        waiting = deque([*self.unseen(runs), *self.unseen(_known(searches))])
        while waiting or self.claims:
            while waiting and self.engine.free:
                self.take(waiting.popleft())
            ended = list(self.engine.wait())
            for run, result in ended:
                self.end(run, result)
            if ended or not self.claims:  # a run that has ended, here or elsewhere, may decide the next ones
                waiting.extend(self.unseen(_known(searches)))
                self.progress.expect(self.fixed + sum(search.state().expected for search in searches))

    def unseen(self, runs: Sequence[Run]) -> list[Run]:
        """Those of `runs` that come up for the first time."""
        new = [run for run in runs if run.record_path not in self.seen]
        self.seen.update(run.record_path for run in new)
        return new

    def take(self, run: Run) -> None:
        """Starts `run` unless it has been, or is being, executed by another process."""
        interruption.check()
        with ExitStack() as claims:
            try:
                found = on_main(lambda: self.look(run, claims))
            except UserError as error:
                self.leave_out(run, str(error))
                return
            if found is not None:
                self.progress.left_out(1, f"{run}: {found}")
                return
            self.claims[run.record_path] = claims.pop_all()
        self.progress.started(run)
        for search in self.searches:
            if run.trial and run.record_path in {trial.record_path for trial in search.made.values()}:
                run = search.with_pruning(run)
        self.engine.start(run)

    def look(self, run: Run, claims: ExitStack) -> str | None:
        """Why `run` is not this process's; None if it is."""
        owned = claims.enter_context(claim(run.record_path))
        remote.fetch(run.results, run.record_path)
        record = records.read_if_there(run.record_path)
        if record is not None and record != self.earlier.get(run.record_path):
            return f"{outcome(record)} (by another process)"
        return None if owned else "left to another process"

    def end(self, run: Run, result: Result) -> None:
        if not isinstance(result, Unrecorded):
            try:
                on_main(lambda: _send(run))
            except StorageError as error:
                result = Unrecorded(f"{outcome(result)}; {error}")
        self.claims.pop(run.record_path).close()
        if isinstance(result, Unrecorded):
            self.unrecorded[run.record_path] = result.reason
            self.progress.ended(run, result.reason)
        else:
            self.progress.ended(run, outcome(result))

    def leave_out(self, run: Run, why: str) -> None:
        self.unrecorded[run.record_path] = why
        self.progress.left_out(1, f"{run}: left out: {why}")

    def close(self) -> None:
        """Ends the present runs, and releases the claims."""
        self.engine.close()
        for claims in self.claims.values():
            claims.close()


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return  # a folder that can only be read needs no tidying
