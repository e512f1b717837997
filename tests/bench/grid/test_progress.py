"""What a grid says while it runs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid import progress
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.records import Record, Scores
from peft_bottleneck_bench.run import Run

RECORD = Record.model_construct(
    status="finished",
    main_metric="f1",
    metrics=Scores(validation={"f1": 0.75}, test={"f1": 0.5}),
    train_seconds=3.1,
)
FAILED = Record.model_construct(status="failed", reason="MachineError: unplugged")


@pytest.fixture
def run(configure: Callable[..., Path]) -> Run:
    (run,) = plan(load_configuration(configure(methods=["head_only"])))
    return run


def test_a_log_gets_one_line_a_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.show_progress(2) as shown:
        for record in (RECORD, FAILED):
            shown.started(run)
            for step in range(100):
                shown.step(run, step, 100)
            shown.ended(run, progress.outcome(record))
    first, second = capsys.readouterr().out.splitlines()
    name = "words · head_only · tiny_bert · seed 0"
    assert first.startswith(f"[1/2] {name}: f1 0.5000 (validation 0.7500), trained 3.1 s; ")
    assert first.endswith(" s left")
    assert second == f"[2/2] {name}: failed: MachineError: unplugged"


def test_a_long_run_says_how_far_it_is(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    with progress.show_progress(1) as shown:
        shown.started(run)
        shown.step(run, 7, 9)
        shown.step(run, 8, 9)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "        words · head_only · tiny_bert · seed 0: step 7 of 9"
    assert re.fullmatch(re.escape(first).replace("7", "8") + r", about \d+\.\d s left", second)


def test_what_other_processes_do_is_counted_and_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.show_progress(3) as shown:
        shown.left_out(1, f"{run}: left to another process")
        shown.left_out(2, "waits")
    assert capsys.readouterr().out.splitlines() == [
        "[1/3] words · head_only · tiny_bert · seed 0: left to another process",
        "[3/3] waits",
    ]


def test_other_processes_of_a_launch_say_nothing(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LOCAL_RANK", "1"), ("RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    with progress.show_progress(1) as shown:
        shown.say("hello")
        shown.started(run)
        shown.step(run, 1, 2)
        shown.ended(run, progress.outcome(RECORD))
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_bars_and_the_same_lines(run: Run) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=150)
    with Progress(console=screen) as bars:
        shown = progress.BarProgress(4, bars)
        shown.left_out(1, "waits")
        shown.started(run)
        shown.step(run, 4, 10)
        shown.step(run, 5, 10)
        grid_bar, run_bar = bars.tasks
        assert (run_bar.description, run_bar.completed, run_bar.total) == (str(run), 5, 10)
        assert run_bar.fields["note"].startswith("about ")
        assert grid_bar.description == "0 done, 1 running, 1 with others, 2 to come"
        assert (grid_bar.completed, grid_bar.fields["note"]) == (1, "")
        shown.ended(run, progress.outcome(RECORD))
        assert grid_bar.description == "1 done, 0 running, 1 with others, 2 to come"
        assert grid_bar.completed == 2
        assert grid_bar.fields["note"].startswith("about ")
        assert bars.tasks == [grid_bar]
    assert "f1 0.5000 (validation 0.7500), trained 3.1 s" in screen.file.getvalue()  # type: ignore[attr-defined]
