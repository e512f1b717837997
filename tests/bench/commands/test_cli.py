"""The command as a user meets it: what it prints, and what it answers to wrong input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from tiny_task import sentences, write_rows

from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.missing_packages import install_line

Configure = Callable[..., Path]
COMMAND = [sys.executable, "-m", "peft_bottleneck_bench.cli"]


def test_a_run_ends_with_a_ranked_table(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    path = configure(methods=["houlsby", "head_only"])
    assert main(["run", str(path), "seeds=[0, 1]"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "[4/4] words · head_only · tiny_bert · seed 1: accuracy 0." in out
    table = out[out.index("[4/4]") :]
    for word in ("words · tiny_bert", "houlsby", "head_only", "accuracy ± std", "4 records below"):
        assert word in table


def test_a_failed_run_gives_exit_code_1(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    path = configure(methods=["head_only"])
    assert main(["run", str(path), "training.learning_rate=1e30"]) == 1
    assert "failed: RunError: the training loss is nan" in capsys.readouterr().out


def broken_json(files: dict[str, str]) -> str:
    Path(files["train"]).write_text('{"text": "good", "label": "positive"}\n{"text": \n')
    return f"{files['train']}, line 2: not valid JSON: Expecting value at column 10"


def unknown_label(files: dict[str, str]) -> str:
    write_rows(Path(files["test"]), [*sentences(2), {"text": "so so", "label": "neutral"}])
    return f"{files['test']}, line 3: unknown label 'neutral', known are 'negative', 'positive'"


def empty_split(files: dict[str, str]) -> str:
    Path(files["validation"]).write_text("")
    return f"{files['validation']}: the file has no rows"


def missing_file(files: dict[str, str]) -> str:
    Path(files["test"]).unlink()
    return f"{files['test']}: no such file"


def missing_column(files: dict[str, str]) -> str:
    write_rows(Path(files["validation"]), [{"sentence": "good", "label": "positive"}])
    return (
        f"{files['validation']}, line 1: no column 'text' (classification needs it), the row has 'sentence', 'label'"
    )


@pytest.mark.parametrize("spoil", [broken_json, unknown_label, empty_split, missing_file, missing_column])
def test_wrong_data_is_one_line_and_exit_code_2(
    configure: Configure,
    files: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[dict[str, str]], str],
) -> None:
    path = configure()
    message = spoil(files)
    assert main(["run", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "results-adapters").exists()


@pytest.mark.parametrize("fits", [True, False])
def test_texts_of_data_reach_no_terminal_as_commands(
    configure: Configure, files: dict[str, str], capsys: pytest.CaptureFixture[str], fits: bool
) -> None:
    rows = [{"text": "good", "label": label} for label in ("x\x1b[2J", "y\u202e", "x\x1b[2J", "y\u202e")]
    for split, file in files.items():
        write_rows(Path(file), rows if fits or split == "train" else [{"text": "a", "label": "\x1b]0;title\x07"}])
    assert main(["run", str(configure()), "--dry-run"]) == (0 if fits else 2)
    said = "".join(capsys.readouterr())
    assert "\\x1b" in said
    assert not {"\x1b", "\x07", "\u202e"} & set(said)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainig.learning_rate=1"], "{file}: unknown key 'trainig': did you mean 'training'?"),
        (["training.learning_rat=1"], "{file}: training.learning_rat: unknown field: did you mean 'learning_rate'?"),
        (["methods=[houlsbi]"], "{file}: unknown method 'houlsbi': did you mean 'houlsby'?"),
        (["tasks=[tiny_sentimant]"], "{file}: unknown task 'tiny_sentimant': did you mean 'tiny_sentiment'?"),
        (["model=/no/model"], "model '/no/model': no such directory"),
        (["nonsense"], "override 'nonsense': expected key=value, such as training.learning_rate=3e-4"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(
    configure: Configure,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    message: str,
) -> None:
    path = configure()
    assert main(["run", str(path), *overrides]) == 2
    assert capsys.readouterr().err == f"error: {message.format(file=path)}\n"
    assert not (tmp_path / "results").exists()


def test_a_missing_configuration_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "run", str(tmp_path / "no.yaml")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"error: {tmp_path}/no.yaml: no such file"
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_an_interrupted_run_says_so_in_one_line(configure: Configure, tmp_path: Path) -> None:
    path = configure(methods=["head_only"], seeds=list(range(40)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*COMMAND, "run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's `&` would have ignored
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "results").rglob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted: what is finished stays; the same command goes on from there"
    assert "Traceback" not in err
    # The working folder of the run that was cut off may stay: it holds its checkpoints, if it got that far.
    assert len(list((tmp_path / "results-adapters").rglob("*.partial"))) <= 1
    assert not list(tmp_path.rglob("*.lock"))


LIGHT = [
    ["--help"],
    ["--version"],
    ["tasks"],
    ["tasks", "--json"],
    ["methods"],
    ["run", "--help"],
    ["predict", "--help"],
]


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_what_only_reads_names_is_quick(arguments: list[str]) -> None:
    """Without the libraries that train, so that it costs no more than 0.3 s of CPU time."""
    code = (
        "import sys, time\n"
        "from peft_bottleneck_bench.cli import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'evaluate', 'pandas', 'numpy', 'sklearn'}\n"
        "assert not heavy & sys.modules.keys()\n"
        "print(time.process_time(), file=sys.stderr)\n"
    )
    seconds = []
    for _ in range(3):  # the first one may write bytecode
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        seconds.append(float(done.stderr))
    assert min(seconds) < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "quickstart"], "interrupted: what is finished stays; the same command goes on from there"),
        (["costs", "quickstart"], "interrupted: nothing is written; the same command measures everything anew"),
        (["compare", "houlsby", "lora"], "interrupted"),
    ],
    ids=["run", "costs", "compare"],
)
def test_an_interruption_says_what_stays(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("peft_bottleneck_bench.api.load_configuration", stopped)
    monkeypatch.setattr("peft_bottleneck_bench.boards.comparing.compare", stopped)
    assert main(arguments) == 130
    assert capsys.readouterr().err == f"{message}\n"


def test_the_help_names_commands_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "peft-bottleneck run quickstart" in out
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"peft-bottleneck {version('peft-bottleneck')}\n"


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)  # imports of it fail as if it were not installed
    monkeypatch.delitem(sys.modules, "peft_bottleneck_bench.configuration.reading", raising=False)
    monkeypatch.delitem(sys.modules, "peft_bottleneck_bench.configuration.yaml_files", raising=False)
    monkeypatch.delitem(sys.modules, "peft_bottleneck_bench.api", raising=False)
    assert main(["run", "quickstart"]) == 2
    line = f"error: the Python package 'yaml' is not installed: try `{install_line()}`\n"
    assert capsys.readouterr().err == line


def test_a_fault_of_the_program_is_one_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def burst(*_: object) -> None:
        raise RuntimeError("burst\nat the seams")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("peft_bottleneck_bench.commands.listing.task_rows", burst)
    assert main(["tasks"]) == 3
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    (file,) = tmp_path.iterdir()
    assert out == ""
    assert line.startswith("error: RuntimeError: burst (a fault of peft-bottleneck: please report it ")
    assert str(file) in line
    assert "in burst" in file.read_text()
    assert file.read_text().endswith("RuntimeError: burst\nat the seams\n")


def test_who_reads_may_stop_reading() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {' '.join(COMMAND)} tasks --json | head -n 1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n", "")


@pytest.mark.parametrize("arguments", [[], ["rum"], ["run"]])
def test_a_command_that_there_is_not_gives_usage_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: peft-bottleneck" in capsys.readouterr().err
