"""Runs as tasks of a Ray cluster: on this machine, or on the nodes of a cluster that is there already.

A run travels with its data. A node that lacks the base model, or the adapter of `init_adapter`, gets the files through
Ray's object store, once; one that sees the results folder of this process works in it, so that a run whose node was
lost goes on from its last checkpoint elsewhere. Any other node works in a folder of its own, and the files of the run
come back with its result. Ray tries a run again whose node or worker was lost; an error of the run itself is a failed
record, as everywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..configuration.choices import Resources
from ..errors import UserError
from ..files import replacing, writing
from ..run import Run
from .attempt import Attempt, Result, reason_of, record_failure
from .launch import Execute, Launched
from .progress import SilentProgress

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.util.queue import Queue

    from ..data.loading import Data

WAITING_SECONDS = 0.5
LOST_NODES = 5  # how often a run is tried again whose node or worker was lost
AHEAD = 2  # runs that are submitted for each that the cluster can do at once, so that no node waits for the driver
Files = dict[str, bytes]


def execute_run(run: Run, on_step: Callable[[int, int], None], say: Callable[[str], object]) -> Result:
    """A run as every engine does it."""
    return Attempt(say)(run, on_step)


class RayEngine:
    """A Ray cluster.

    Args:
        address: of the cluster, as `ray.init` takes it; empty for one of this machine alone.
        resources: of each run.
        execute: the function that executes a run.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """

    launches = True

    def __init__(self, address: str, resources: Resources, execute: Execute = execute_run) -> None:
        try:
            import ray
        except ImportError as error:
            raise UserError("--engine ray: Ray is not installed: pip install ray") from error
        self.ray = ray
        self.address = address
        self.resources = resources
        self.execute = execute
        self.running: dict[ObjectRef[object], Run] = {}
        self.shared: dict[int | str, ObjectRef[object]] = {}  # data and models that runs have in common
        self.marks: list[Path] = []

    def open(self, progress: SilentProgress) -> None:
        self.progress = progress
        ray = self.ray
        try:
            ray.init(self.address or None, include_dashboard=None if self.address else False, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"--ray-address {self.address}: {str(error).strip().splitlines()[0]}") from error
        from ray.util.queue import Queue

        # On the node of the driver, whose loss ends the grid in any case.
        place = {"num_cpus": 0, "resources": {f"node:{ray.util.get_node_ip_address()}": 0.001}}
        self.check_nodes()
        self.lines = Queue(actor_options=place)
        options = {"num_cpus": self.resources.cpus, "num_gpus": self.resources.gpus}
        self.task = ray.remote(max_retries=LOST_NODES, **options)(_work)

    def check_nodes(self) -> None:
        """Looks for a node that is large enough; a cluster elsewhere may start one when it is asked for.

        Raises:
            UserError: there is none on this machine.
        """
        asked = {"CPU": self.resources.cpus, "GPU": self.resources.gpus}
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0) >= number for name, number in asked.items()) for node in nodes):
            return
        there = "; ".join(", ".join(f"{node.get(name, 0):g} {name}s" for name in asked) for node in nodes)
        message = ", ".join(f"{number:g} {name}s" for name, number in asked.items() if number)
        message = f"resources: no node has {message} for a run: there are {there}"
        if not self.address:
            self.ray.shutdown()
            raise UserError(message)
        self.progress.say(f"{message}; the runs wait for one")

    @property
    def free(self) -> bool:
        there = self.ray.cluster_resources()
        at_once = there.get("CPU", 1) / max(self.resources.cpus, 0.01)
        if self.resources.gpus:
            at_once = min(at_once, there.get("GPU", 0) / self.resources.gpus)
        return len(self.running) < max(1, AHEAD * int(at_once))

    def start(self, run: Run) -> None:
        for folder in (run.results, run.adapters):
            self.mark(folder)
        data = self.common(id(run.data), lambda: run.data)
        model = self.common(run.model.path, lambda: _files_of(Path(run.model.path)) if run.model.is_local else {})
        before = run.method.initial
        initial = self.common(str(before.folder), lambda: _files_of(before.folder)) if before else {}
        sent = replace(run, task=replace(run.task, convert=None), data=None)  # type: ignore[arg-type]
        marks = [str(mark) for mark in self.marks]
        ref = self.task.remote(self.execute, sent, data, model, initial, marks, self.resources, self.lines)
        self.running[ref] = run

    def mark(self, folder: Path) -> None:
        """Leaves a file in `folder` by which a node knows that it sees the same folder."""
        if not any(mark.parent == folder for mark in self.marks):
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                mark = folder.resolve() / f".driver-{uuid4().hex}"
                mark.touch()
            self.marks.append(mark)

    def common(self, key: int | str, make: Callable[[], Data | Files]) -> ObjectRef[object]:
        if key not in self.shared:
            self.shared[key] = self.ray.put(make())
        return self.shared[key]

    def wait(self) -> Iterable[tuple[Run, Result]]:
        ready, _ = self.ray.wait([*self.running], num_returns=1, timeout=WAITING_SECONDS)
        if ready:  # and whatever else has ended by now
            ready, _ = self.ray.wait([*self.running], num_returns=len(self.running), timeout=0)
        self.show()
        return [(run, self.result(ref, run)) for ref in ready if (run := self.running.pop(ref))]

    def show(self) -> None:
        """Steps and lines of all runs since the last call."""
        places = {str(run.record_path): run for run in self.running.values()}
        for place, content in self.lines.get_nowait_batch(self.lines.qsize()):
            if isinstance(content, str):
                self.progress.say(content)
            elif place in places:
                self.progress.step(places[place], *content)

    def result(self, ref: ObjectRef[Any], run: Run) -> Result:
        """The result, its files written here."""
        try:
            result, files = self.ray.get(ref)
            for place, content in files.items():
                root, _, inside = place.partition("/")
                with replacing((run.results if root == "results" else run.adapters) / inside) as file:
                    file.write(content)
        except self.ray.exceptions.RayTaskError as error:
            return record_failure(run, f"on a node of the cluster: {reason_of(error.cause)}")
        except self.ray.exceptions.RayError as error:
            return record_failure(run, f"the cluster lost the run {LOST_NODES + 1} times: {type(error).__name__}")
        except Exception as error:
            return record_failure(run, reason_of(error))
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        for ref in self.running:
            self.ray.cancel(ref, force=True)
        for mark in self.marks:
            mark.unlink(missing_ok=True)
        self.ray.shutdown()


def _work(
    execute: Execute,
    run: Run,
    data: Data,
    model: Files,
    initial: Files,
    marks: list[str],
    resources: Resources,
    lines: Queue,
) -> tuple[Result, Files]:
    """The work of a node: the result of the run, and its files where this node does not see the driver's folders."""
    from ..quiet import quiet, quiet_bars

    quiet()
    import torch

    quiet_bars()
    threads = max(1, int(resources.cpus / run.processes))
    torch.set_num_threads(threads)
    base = run.model
    if model and not Path(base.path).is_dir():
        base = replace(base, path=str(_unpacked(model, str(run.model.identity["sha256"]))))
    method, before = run.method, run.method.initial
    if before and not before.folder.is_dir():
        method = replace(method, initial=replace(before, folder=_unpacked(initial, _content_hash(initial))))
    run = replace(run, data=data, model=base, method=method, context=replace(run.context, model=base))
    place = str(run.record_path)

    def on_step(step: int, steps: int) -> None:
        if step % max(1, steps // 20) == 0:
            lines.put_nowait((place, (step, steps)))

    def say(line: str) -> None:
        lines.put_nowait((place, line))

    if run.processes > 1:
        execute = Launched(execute, threads, gpus=bool(resources.gpus))
    if all(os.path.exists(mark) for mark in marks):
        return execute(run, on_step, say), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        here = replace(run, results=folder / "results", adapters=folder / "adapters")
        result = execute(here, on_step, say)
        for file in folder.rglob("run.json"):  # the base is where the driver has it
            content = {**json.loads(file.read_text(encoding="utf-8")), "model_name": run.model.name}
            file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        files = _files_of(folder)
    records = [place for place in files if place.endswith(".json") and place.startswith("results/")]
    return result, {place: files[place] for place in sorted(files, key=lambda place: place in records)}


def _files_of(folder: Path) -> Files:
    """The content of all files below `folder`, by their place in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _content_hash(files: Files) -> str:
    digest = hashlib.sha256()
    for place, content in files.items():
        digest.update(f"{place} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _unpacked(files: Files, name: str) -> Path:
    """A folder of this node with `files`, which later runs find again."""
    folder = Path(tempfile.gettempdir()) / f"peft-bottleneck-{os.getuid()}" / name
    for place, content in files.items():
        if not (folder / place).is_file():
            with replacing(folder / place) as file:
                file.write(content)
    return folder
