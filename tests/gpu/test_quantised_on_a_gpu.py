"""8-bit and 4-bit bases with bitsandbytes' CUDA kernels, and its paged optimisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_files import assert_holds_adapters_only
from equations import METHODS, output, randomise
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from tiny_models import VOCABULARY, tiny_model
from torch import Tensor
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from peft_bottleneck.quantization import QUANTIZATIONS, quantization_config

pytest.importorskip("bitsandbytes")
pytestmark = [
    pytest.mark.filterwarnings("ignore:MatMul8bitLt. inputs will be cast:UserWarning"),
    pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning"),
]
TOKENS = torch.randint(3, VOCABULARY, (4, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base")
    tiny_model("llama", AutoModelForCausalLM, hidden_size=64, intermediate_size=128).save_pretrained(path)
    return path


def load(folder: Path, quantization: str | None, **changes: Any) -> Any:
    config = quantization_config(quantization, folder, AutoModelForCausalLM) if quantization else None
    for name, value in changes.items():
        setattr(config, name, value)
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, device_map={"": 0}).eval()


def batch() -> dict[str, Tensor]:
    return {"input_ids": TOKENS.cuda(), "labels": TOKENS.cuda()}


def losses(model: Any) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4)
    found = []
    for _ in range(6):
        loss = model(**batch()).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_train_save_load_and_generate(method: str, quantization: str, folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    expected = losses(get_peft_model(load(folder, None), METHODS[method](task_type="CAUSAL_LM")))
    torch.manual_seed(0)
    model = get_peft_model(load(folder, quantization), METHODS[method](task_type="CAUSAL_LM"))
    found = losses(model)
    assert found[-1] < found[0]
    assert found == pytest.approx(expected, abs=0.05)
    model.save_pretrained(tmp_path)
    assert_holds_adapters_only(tmp_path, model)
    loss = output(model, batch())
    again = PeftModel.from_pretrained(load(folder, quantization), tmp_path).eval()
    torch.testing.assert_close(output(again, batch()), loss, atol=1e-3, rtol=0)
    full = PeftModel.from_pretrained(load(folder, None), tmp_path).eval()
    assert output(full, batch()).item() == pytest.approx(loss.item(), abs=0.05)
    text = again.generate(input_ids=TOKENS.cuda(), max_new_tokens=5, min_new_tokens=5, do_sample=False)
    assert text.shape == (4, 14)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_prepared_for_training_with_either_checkpointing(method: str, quantization: str, folder: Path) -> None:
    def gradients(use_reentrant: bool | None) -> dict[str, Tensor]:
        base = prepare_model_for_kbit_training(
            load(folder, quantization),
            use_gradient_checkpointing=use_reentrant is not None,
            gradient_checkpointing_kwargs=None if use_reentrant is None else {"use_reentrant": use_reentrant},
        )
        model = randomise(get_peft_model(base, METHODS[method]())).train()
        model(**batch(), use_cache=False).loss.backward()
        return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}

    expected = gradients(None)
    for use_reentrant in (True, False):
        for name, gradient in gradients(use_reentrant).items():
            assert bool(gradient.any()), name
            error = (gradient - expected[name]).norm() / expected[name].norm()
            assert error < 1e-2, name


@pytest.mark.parametrize("optimizer", ["paged_adamw_8bit", "paged_adamw_32bit", "adamw_torch_fused"])
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_trainer_with_everything_that_saves_memory(
    method: str, quantization: str, optimizer: str, folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    base = prepare_model_for_kbit_training(
        load(folder, quantization), gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    model = get_peft_model(base, METHODS[method](task_type="CAUSAL_LM", reduction_factor=2))
    rows: Any = [{"input_ids": row, "labels": row} for row in TOKENS]
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        learning_rate=1e-2,
        per_device_train_batch_size=4,
        max_steps=20,
        save_steps=20,
        logging_steps=1,
        optim=optimizer,
        bf16=True,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    trainer.train()
    found = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert found[-1] < 0.8 * found[0]
    assert_holds_adapters_only(tmp_path / "checkpoint-20", model)


@pytest.mark.parametrize("storage", [torch.uint8, torch.bfloat16])
def test_four_bits_are_computed_in_bfloat16(storage: torch.dtype, folder: Path) -> None:
    base = load(folder, "4bit", bnb_4bit_quant_storage=storage)
    assert base.config.quantization_config.bnb_4bit_compute_dtype is torch.bfloat16
    model = get_peft_model(base, METHODS["houlsby"]())
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    model(**batch()).loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_takes_less_memory(quantization: str, tmp_path: Path) -> None:
    big = tiny_model("llama", AutoModelForCausalLM, hidden_size=512, intermediate_size=1024, num_hidden_layers=4)
    big.save_pretrained(tmp_path)
    del big
    held = []
    for kind in (None, quantization):
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        model = get_peft_model(load(tmp_path, kind), METHODS["houlsby"]())
        held.append(torch.cuda.memory_allocated() - before)
        del model
    assert held[1] < 0.6 * held[0]
