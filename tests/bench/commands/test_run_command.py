"""What the words after `peft-bottleneck run` choose: the configuration, tasks, overrides, a shard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.shipped import configuration_file

Configure = Callable[..., Path]


def test_a_shipped_configuration_is_run_by_its_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    results = f"results={tmp_path / 'results'}"
    assert main(["run", "quickstart", "--dry-run", "methods=[head_only]", results]) == 0
    assert "tiny_ner" in capsys.readouterr().out
    assert main(["run", "quikstart"]) == 2
    assert capsys.readouterr().err == (
        "error: quikstart: no such file, and no configuration of this name is shipped: did you mean 'quickstart'?\n"
    )


def test_a_file_is_preferred_to_the_shipped_configuration_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert configuration_file(Path("quickstart")).is_absolute()
    Path("quickstart").touch()
    assert configuration_file(Path("quickstart")) == Path("quickstart")


@pytest.mark.parametrize("by_option", [True, False])
def test_tasks_come_from_a_folder_of_the_users_own(
    configure: Configure,
    files: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    by_option: bool,
) -> None:
    folder = tmp_path / "my tasks"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "from peft_bottleneck_bench.tasks import Files, Task\n"
        f"TASK = Task(name='mine', kind='classification', data=Files(**{files}), main_metric='macro_f1')\n"
    )
    given = {"tasks": ["mine"], "methods": ["head_only"]}
    if by_option:
        arguments = ["run", str(configure(**given)), "--tasks-from", str(folder)]
    else:  # beside the configuration
        arguments = ["run", str(configure(**given, tasks_from="my tasks"))]
    assert main(arguments) == 0
    assert "mine · head_only · tiny_bert · seed 0: macro_f1" in capsys.readouterr().out
    assert main(["run", str(configure(**given))]) == 2
    assert "unknown task 'mine'" in capsys.readouterr().err


def test_overrides_may_stand_before_and_after_options(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(configure(methods=["head_only"]))
    assert main(["run", path, "seeds=[0, 1]", "--dry-run", "methods=[bias_tuning]", "limits.train=9"]) == 0
    out = capsys.readouterr().out
    assert "bias_tuning" in out
    assert "\n2 runs, 2 left" in out
    for arguments, hint in (
        (["run", path, "--dri-run"], " (did you mean '--dry-run'?)"),
        (["run", path, "--jbos=2"], " (did you mean '--jobs'?)"),
        (["tasks", "seeds=[0]"], ""),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2
        usage, error = capsys.readouterr().err.split("error: ")
        assert usage.startswith(f"usage: peft-bottleneck {arguments[0]} ")
        assert error == f"unrecognized arguments: {arguments[-1]}{hint}\n"


@pytest.mark.parametrize("shard", ["3/2", "0/2", "1/0", "1", "a/b", "-1/2", "1/2/3"])
def test_a_shard_that_there_is_not_is_refused(shard: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["run", "some.yaml", f"--shard={shard}"])
    assert exit_.value.code == 2
    message = f"argument --shard: expected I/N with I from 1 to N, such as 1/4, found '{shard}'"
    assert capsys.readouterr().err.splitlines()[-1].endswith(message)


def test_shards_divide_the_runs_and_show_all_records(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(configure(methods=["head_only"], seeds=[0, 1, 2]))
    seeds = {}
    for shard in ("1/2", "2/2"):
        assert main(["run", path, "--shard", shard]) == 0
        out = capsys.readouterr().out
        seeds[shard] = re.findall(r"seed (\d): accuracy", out)
    assert seeds == {"1/2": ["0", "2"], "2/2": ["1"]}
    assert "3 records below" in out
    assert main(["run", path]) == 0
    assert "3 of 3 runs are finished already" in capsys.readouterr().out


def test_a_shard_has_whole_searches(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    search = {"trials": 2, "space": {"learning_rate": [0.01, 0.02]}}
    path = str(configure(methods=["head_only", "bias_tuning", "untuned"], search=search))
    for shard, methods in (("1/2", {"head_only", "untuned"}), ("2/2", {"bias_tuning"})):
        assert main(["run", path, "--shard", shard, "--dry-run"]) == 0
        out = capsys.readouterr().out
        assert {line.split()[1] for line in out.splitlines() if line.startswith(" words")} == methods
