"""The command `speed`: what it measures, in which order, and what it refuses."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import torch
from rich.console import Console

from peft_bottleneck.layer import BottleneckLayer
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.models.base_model import BaseModel
from peft_bottleneck_bench.speed import command
from peft_bottleneck_bench.speed.candidates import INFER, TRAIN, Peft, candidates
from peft_bottleneck_bench.speed.hosts import Hosts, Worker
from peft_bottleneck_bench.speed.measuring import TURNS_OF_A_BUILD, Measurement
from peft_bottleneck_bench.speed.report import QUANTITIES, markdown, tables, terminal, write
from peft_bottleneck_bench.speed.rounds import alternate, paired_ratio, summary
from peft_bottleneck_bench.workbench.workload import Setting

REPEATS = 2


@pytest.fixture(scope="module")
def record(bert: Path) -> dict[str, Any]:
    """Everything but the memory of all candidates and the imports, which take a process each."""
    measurement = Measurement(BaseModel.named(str(bert)), (2, 24), REPEATS, None, report=lambda line: None)
    memory = [{"candidate": "houlsby", "length": 16, "added_bytes": 2**20, "peaks": [2**20]}]
    imports = {name: {"seconds": [0.1], "median": 0.1} for name in ("peft", "peft_bottleneck")}
    return {**measurement.frame(), **measurement.times(), "memory": memory, "import_seconds": imports}


def test_every_candidate_has_a_turn_at_everything_in_every_repetition(record: dict[str, Any]) -> None:
    expected = {(quantity, row.label) for row in candidates(causal=False, peer=False) for quantity in row.quantities}
    assert {(entry["quantity"], entry["candidate"]) for entry in record["times"]} == expected
    for entry in record["times"]:
        assert len(entry["seconds"]) == REPEATS * TURNS_OF_A_BUILD.get(entry["quantity"], 1)
        assert min(entry["seconds"]) > 0


@pytest.mark.parametrize(
    ("quantities", "found"), [(TRAIN, {"train"}), (INFER, {"infer_short", "infer_one", "infer_batch"})]
)
def test_models_are_built_anew_in_another_order(bert: Path, quantities: tuple[str, ...], found: set[str]) -> None:
    built: list[list[str]] = [[]]

    class Noted(Hosts):
        def prepare(self, library: str, candidate: str) -> None:
            built[-1].append(candidate)

        def release(self) -> None:
            built.append([])

        def seconds(self, library: str, candidate: str, quantity: str) -> float:
            return 1.0

    measurement = Measurement(BaseModel.named(str(bert)), (2, 24), 3, None, report=lambda line: None)
    entries = list(measurement.over_builds(quantities, Noted({})))
    names = [row.name for row in candidates(causal=False, peer=False) if {*quantities} & {*row.quantities}]
    assert [sorted(build) for build in built] == [[], *[sorted(names)] * 3]
    assert len({tuple(build) for build in built[1:]}) == 3
    assert {entry["quantity"] for entry in entries} == found


def test_training_is_compared_with_the_floor_and_inference_with_the_base(record: dict[str, Any]) -> None:
    references = {(entry["quantity"], entry["candidate"]): entry["reference"] for entry in record["times"]}
    assert references["train", "pfeiffer"] == "floor of pfeiffer"
    assert references["train", "lora"] == "floor of houlsby"
    assert references["infer_short", "parallel_adapter, folded"] == "base"
    assert references["infer_short", "base"] is None
    assert references["inject", "houlsby"] is None


def test_the_record_becomes_a_table_and_four_files(record: dict[str, Any], tmp_path: Path) -> None:
    written = write(record, tmp_path)
    assert [path.name for path in written] == [f"tiny_bert.{suffix}" for suffix in ("json", "md", "png", "svg")]
    assert json.loads(written[0].read_text()) == json.loads(json.dumps(record))
    found = list(tables([record]))
    there = {entry["quantity"] for entry in record["times"]}
    expected = [words for quantity, words in QUANTITIES.items() if quantity in there]
    assert [table.heading for table in found][:-1] == expected
    assert found[-1].rows == [["houlsby", "1 (1 to 1)"]]
    page = written[1].read_text()
    entry = next(entry for entry in record["times"] if entry["candidate"] == "houlsby, upper half")
    assert f"{(entry['ratio']['median'] - 1) * 100:+.1f} % (" in page
    screen = Console(file=io.StringIO(), width=200)
    screen.print(terminal(record))
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    for table in found:  # the terminal and the page have the same cells
        for row in table.rows:
            assert all(cell in shown and cell in page for cell in row)
    assert tuple(QUANTITIES) == command.QUANTITIES


def test_two_records_share_a_table(record: dict[str, Any]) -> None:
    other = {**record, "model": {"name": "other"}, "memory": [], "times": record["times"][:3]}
    first, *_ = tables([record, other])
    assert first.columns == ["candidate", "tiny_bert, 2×24", "other, 2×24"]
    assert [bool(row[2]) for row in first.rows] == [True] * 3 + [False] * (len(first.rows) - 3)
    assert "| candidate | tiny_bert, 2×24 | other, 2×24 |" in markdown([record, other])


def test_a_few_candidates_come_with_their_references(bert: Path) -> None:
    few = ["houlsby, upper half", "lora"]
    measurement = Measurement(
        BaseModel.named(str(bert)), (2, 24), 3, None, report=lambda line: None, only=few, steps=2, quantities=["train"]
    )
    assert [row.label for row in measurement.rows] == ["base", "floor of houlsby", "houlsby", *few]
    entries = measurement.times()["times"]
    assert {entry["quantity"] for entry in entries} == {"train"}
    assert all(len(entry["seconds"]) == 3 * 2 for entry in entries)
    assert {entry["candidate"]: entry["reference"] for entry in entries}["lora"] == "floor of houlsby"


def test_turns_go_forth_and_back() -> None:
    order: list[str] = []

    def turn(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = alternate({name: lambda name=name: turn(name) for name in "abc"}, 3)  # type: ignore[misc]
    assert "".join(order) == "abcabccbaabc"
    assert found == {"a": [4, 9, 10], "b": [5, 8, 11], "c": [6, 7, 12]}
    order.clear()
    alternate({name: lambda name=name: turn(name) for name in "abc"}, 2, start=1)  # type: ignore[misc]
    assert "".join(order) == "abcacbbca"


def test_the_first_turn_after_another_process_is_taken_twice() -> None:
    class Host:
        def __init__(self) -> None:
            self.turns = 0.0

        def seconds(self, candidate: str, quantity: str) -> float:
            self.turns += 1
            return self.turns

    own, other = Host(), Host()
    hosts = Hosts({"own": own, "other": other})  # type: ignore[dict-item]
    libraries = ("own", "own", "other", "other", "own")
    assert [hosts.seconds(library, "houlsby", "train") for library in libraries] == [2, 3, 2, 3, 5]


def test_memory_is_the_median_of_fresh_processes(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    class Process:
        def peak_bytes(self, candidate: str, length: int) -> int:
            started.append(candidate)
            return length + len(started)

        def close(self) -> None:
            started.append("closed")

    measurement = Measurement(BaseModel.named(str(bert)), (2, 24), 2, None, report=lambda line: None)
    monkeypatch.setattr(Measurement, "_worker", lambda self, row: Process())
    found = measurement.memory((48, 16))
    names = [row.name for row in candidates(causal=False, peer=False) if row.memory]
    assert started == [step for name in names for step in (name, name, "closed")] * 3
    assert [entry["candidate"] for entry in found] == [name for name in names for _ in (16, 48)]
    assert found[0] == {"candidate": names[0], "length": 16, "added_bytes": found[0]["peaks"][1], "peaks": ANY}
    assert len(found[0]["peaks"]) == 3


def test_ratios_are_those_of_the_same_repetition() -> None:
    slow = [1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0, 1000000.0]  # a machine that gets slower and slower
    assert paired_ratio([1.1 * seconds for seconds in slow], slow) == pytest.approx(
        dict(median=1.1, low=1.1, high=1.1)
    )
    nine = paired_ratio([float(number) for number in range(1, 10)], [1.0] * 9)
    assert nine == {"median": 5.0, "low": 2.0, "high": 8.0}  # binomial: 1 of 9 on either side, 96 %
    grouped = paired_ratio([1.0, 2.0, 30.0, 4.0, 5.0, 60.0], [1.0] * 6, turns=3)  # two repetitions: medians 2 and 5
    assert grouped == {"median": 3.5, "low": 2.0, "high": 5.0}
    assert paired_ratio([1.0, 3.0], [1.0, 1.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert summary([1.0, 2.0, 3.0, 4.0, 5.0]) == {"median": 3.0, "first_quartile": 2.0, "third_quartile": 4.0}


def test_a_worker_measures_in_its_own_process(bert: Path) -> None:
    worker = Worker.ours(Setting(str(bert), False, 4, 48, torch.get_num_threads()))
    try:
        assert worker.versions["torch"] == torch.__version__
        assert worker.peak_bytes("full", 48) > 0
        worker.prepare("pfeiffer")
        assert worker.seconds("pfeiffer", "train") > 0
        with pytest.raises(UserError, match=r"KeyError: 'nonsense'"):
            worker.seconds("pfeiffer", "nonsense")
    finally:
        worker.close()


@pytest.mark.parametrize("method", ["houlsby", "pfeiffer", "parallel_adapter"])
def test_the_floor_trains_nothing_and_lets_the_gradient_reach_the_first_block(bert: Path, method: str) -> None:
    setting = Setting(str(bert), False, 2, 24, 1)
    model = Peft().build(f"floor of {method}", setting.base())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    needs_gradient: dict[str, bool] = {}
    for name, module in model.encoder.layer[0].named_modules():
        module.register_forward_hook(
            lambda module, args, output, name=name: needs_gradient.update(
                {name: (output[0] if isinstance(output, tuple) else output).requires_grad}
            )
        )
    model(**setting.inputs(model, 2, 24)).last_hidden_state.square().mean().backward()
    assert not needs_gradient["attention.self"]
    assert needs_gradient["attention.output"] == (method == "houlsby")
    assert needs_gradient["output"]


def test_the_floor_of_the_upper_half_lets_the_gradient_reach_no_lower_block(bert: Path) -> None:
    setting = Setting(str(bert), False, 2, 24, 1)
    model = Peft().build("floor of houlsby, upper half", setting.base())
    states = model(**setting.inputs(model, 2, 24), output_hidden_states=True).hidden_states
    half = model.config.num_hidden_layers // 2
    assert [state.requires_grad for state in states] == [index > half for index in range(len(states))]


def test_bare_calls_compute_what_the_adapter_computes(bert: Path) -> None:
    setting = Setting(str(bert), False, 2, 24, 1)
    ours, bare = (Peft().build(name, setting.base()).eval() for name in ("houlsby", "houlsby, bare calls"))
    own, theirs = ([p for p in model.parameters() if p.requires_grad] for model in (ours, bare))
    assert [p.shape for p in own] == [p.shape for p in theirs]
    with torch.no_grad():
        for parameter, other in zip(own, theirs, strict=True):
            other.copy_(parameter.normal_(std=0.1))
    models = (ours, bare, setting.base().eval())
    assert not any(isinstance(module, BottleneckLayer) for module in bare.modules())
    outputs = [model(**setting.inputs(model, 2, 24)).last_hidden_state for model in models]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "/no/model"], "model '/no/model': no such directory"),
        (["--peer-python", "/no/python"], "--peer-python /no/python: no such file"),
        (["--batch", "2x24", "--only", "hulsby"], "--only: unknown candidate 'hulsby': did you mean 'houlsby'?"),
        (["--batch", "2x100"], "model '{bert}' takes 64 tokens, got 100"),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_2(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    common = ["speed", "--model", str(bert), "--lengths", "16", "--out", str(tmp_path / "out")]
    assert main([*common, *arguments]) == 2
    assert capsys.readouterr().err == f"error: {message.format(bert=bert)}\n"
    assert not (tmp_path / "out").exists()


def test_a_peer_without_the_library_is_one_line(bert: Path) -> None:
    with pytest.raises(UserError, match=r"ModuleNotFoundError: No module named 'adapters'"):
        Worker.peer(Path(sys.executable), Setting(str(bert), False, 2, 16, 1))


@pytest.mark.parametrize(
    ("option", "value"),
    [("--batch", "16"), ("--batch", "0x4"), ("--repeats", "1"), ("--lengths", "64,"), ("--steps", "0")],
)
def test_a_wrong_shape_is_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["speed", option, value])
    assert exit_.value.code == 2
    assert f"got {value!r}" in capsys.readouterr().err
