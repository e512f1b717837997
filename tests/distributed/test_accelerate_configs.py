"""Accelerate's own launcher reads the configurations, and knows every key in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

FOLDER = Path(__file__).parents[2] / "configs" / "accelerate"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_there_is_one_for_every_kind_of_machine() -> None:
    names = {"deepspeed_zero2", "deepspeed_zero3", "fsdp", "one_gpu", "several_gpus", "two_cpu_processes"}
    assert {path.stem for path in FILES} == names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_launcher_takes_it(path: Path) -> None:
    written = yaml.safe_load(path.read_text())
    loaded = load_config_from_file(str(path))
    for name in ("num_processes", "mixed_precision", "use_cpu"):
        assert getattr(loaded, name) == written.get(name, getattr(loaded, name))
    arguments, _, _ = _validate_launch_command(
        launch_command_parser().parse_args(["--config_file", str(path), "train.py"])
    )
    kind = written["distributed_type"]
    assert arguments.multi_gpu == (kind == "MULTI_GPU")
    assert arguments.use_fsdp == (kind == "FSDP")
    assert arguments.use_deepspeed == (kind == "DEEPSPEED")
    for part in ("fsdp_config", "deepspeed_config"):
        for name, value in written.get(part, {}).items():  # a key that the launcher lacks would be ignored
            assert str(getattr(arguments, name)).lower() == str(value).lower(), name
