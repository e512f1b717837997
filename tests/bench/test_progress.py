"""What a grid says while it runs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from peft_bottleneck.bench import progress
from peft_bottleneck.bench.configuration import load_configuration
from peft_bottleneck.bench.plan import Run, plan

RECORD: dict[str, Any] = {
    "status": "finished",
    "main_metric": "f1",
    "metrics": {"validation": {"f1": 0.75}, "test": {"f1": 0.5}},
    "train_seconds": 3.14,
}


@pytest.fixture
def run(configure: Callable[..., Path]) -> Run:
    (run,) = plan(load_configuration(configure(methods=["head_only"])))
    return run


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (99.9, "99.9 s"), (100, "2 min"), (5940, "99 min"), (12000, "3 h 20 min")],
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert progress.duration(seconds) == words


def test_a_log_gets_one_line_a_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.show_progress(2) as shown:
        for record in (RECORD, {"status": "failed", "reason": "MachineError: unplugged"}):
            shown.started(run)
            for step in range(100):
                shown.step(step, 100)
            shown.ended(run, record)
    first, second = capsys.readouterr().out.splitlines()
    name = "words · head_only · tiny_bert · seed 0"
    assert first.startswith(f"[1/2] {name}: f1 0.5000 (validation 0.7500), trained 3.1 s; ")
    assert first.endswith(" s left")
    assert second == f"[2/2] {name}: failed: MachineError: unplugged"


def test_a_long_run_says_where_it_stands(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    with progress.show_progress(1) as shown:
        shown.started(run)
        shown.step(7, 9)
    assert capsys.readouterr().out == "        words · head_only · tiny_bert · seed 0: step 7 of 9\n"


def test_a_terminal_gets_bars_and_the_same_lines(run: Run) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=150)
    with Progress(console=screen) as bars:
        shown = progress.BarProgress(3, bars)
        shown.started(run)
        shown.step(5, 10)
        assert [(bar.description, bar.completed, bar.total) for bar in bars.tasks] == [
            ("runs", 0, 3),
            (str(run), 5, 10),
        ]
        shown.ended(run, RECORD)
        assert bars.tasks[0].completed == 1
    assert "f1 0.5000 (validation 0.7500), trained 3.1 s" in screen.file.getvalue()  # type: ignore[attr-defined]
