"""What `docs/guides/small-gpus.md` shows, on a CPU and a tiny model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_model
from tiny_task import make_tokenizer, save_model
from transformers import AutoModelForCausalLM

from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration import training_checks
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.training.execute import execute
from peft_bottleneck_bench.training.features import make_features

TEXT = (Path(__file__).parents[2] / "docs" / "guides" / "small-gpus.md").read_text(encoding="utf-8")
NAME = "google-bert/bert-base-uncased"

pytestmark = pytest.mark.filterwarnings("ignore:.gradient_checkpointing.* is deprecated:FutureWarning")


def blocks(form: str) -> list[str]:
    return re.findall(rf"```{form}\n(.*?)```", TEXT, re.DOTALL)


def gradients(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Of the bottlenecks, after one batch."""
    inputs = torch.arange(3, 23).reshape(2, 10)
    model.train()(
        input_ids=inputs, attention_mask=torch.ones_like(inputs), labels=torch.tensor([0, 1])
    ).loss.backward()
    return ((name, parameter.grad) for name, parameter in model.named_parameters() if "houlsby_up" in name)


@pytest.mark.parametrize("more", range(3))
def test_the_code_trains_adapters_on_a_quantised_base(tmp_path: Path, more: int) -> None:
    tiny_model("bert", hidden_size=64, intermediate_size=128).save_pretrained(tmp_path)
    first, *modes, _ = blocks("python")
    names: dict[str, Any] = {}
    exec("".join([first.replace(NAME, str(tmp_path)), *modes[:more][-1:]]), names)
    kinds = {type(module).__name__ for module in names["model"].modules()}
    assert "Linear4bit" in kinds
    found = list(gradients(names["model"]))
    assert len(found) == 8  # weight and bias, two places, two blocks
    assert all(gradient is not None and gradient.abs().sum() > 0 for _, gradient in found)


def test_the_code_computes_the_loss_in_chunks() -> None:
    *_, code = blocks("python")
    names: dict[str, Any] = {}
    exec(code, names)
    model = names["language_model"].train()
    plain = AutoModelForCausalLM.from_config(model.config).train()
    plain.load_state_dict(model.state_dict())
    inputs = torch.arange(3, 23).reshape(2, 10)
    result = model(input_ids=inputs, labels=inputs)
    torch.testing.assert_close(result.loss, plain(input_ids=inputs, labels=inputs).loss)
    assert result.logits is None


def test_the_configuration_trains(tmp_path: Path) -> None:
    whole, *_ = blocks("yaml")
    base = save_model("bert", tmp_path / "base", make_tokenizer(), hidden_size=64, intermediate_size=128)
    file = tmp_path / "run.yaml"
    file.write_text(whole.replace(NAME, str(base)))
    small = ["training.num_train_epochs=1", "limits={train: 8, validation: 4, test: 4}", f"results={tmp_path}/results"]
    run = plan(load_configuration(file, [*small, "training.bf16=false"]))[0]  # which transformers refuses on a CPU
    assert (run.model.quantization, run.method.name) == ("4bit", "houlsby")
    record = execute(run, make_features(run), lambda step, steps: None)
    assert record.status == "finished"
    assert record.model == "base-4bit"
    assert main(["predict", str(run.adapter_path), "a fine day"]) == 0
    assert main(["predict", str(run.adapter_path), "a fine day", "--quantization", "none"]) == 0


def test_a_type_of_the_base_and_fused_kernels_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, types, kernels, _ = blocks("yaml")
    file = tmp_path / "run.yaml"
    file.write_text(f"model: {NAME}\ntasks: [tiny_sentiment]\nmethods: [houlsby]\n{types}{kernels}")
    monkeypatch.setattr(training_checks, "is_liger_kernel_available", lambda: False)
    with pytest.raises(UserError, match=r"training\.use_liger_kernel: .* not installed: pip install liger-kernel"):
        load_configuration(file)
    monkeypatch.setattr(training_checks, "is_liger_kernel_available", lambda: True)
    configuration = load_configuration(file)
    assert (configuration.dtype, configuration.precision) == ("bfloat16", "bf16")
    assert configuration.training["use_liger_kernel"] is True


def test_an_optimiser_is_taken(tmp_path: Path) -> None:
    *_, part = blocks("yaml")
    file = tmp_path / "run.yaml"
    file.write_text(f"model: {NAME}\ntasks: [tiny_sentiment]\nmethods: [houlsby]\n{part}")
    assert load_configuration(file).training["optim"] == "paged_adamw_8bit"
