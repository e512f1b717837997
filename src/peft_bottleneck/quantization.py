"""8-bit and 4-bit base models, by bitsandbytes: how to load one so that adapters and a task head train on it.

    config = quantization_config("4bit", "org/model", AutoModelForSequenceClassification)
    model = AutoModelForSequenceClassification.from_pretrained("org/model", quantization_config=config)
    model = get_peft_model(prepare_for_training(model), HoulsbyConfig(task_type="SEQ_CLS"))

bitsandbytes is imported by the call, not by this module.
"""

from __future__ import annotations

import re
from os import PathLike
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from .sites.structure import find_family

QUANTIZATIONS = ("8bit", "4bit")


def quantization_config(quantization: str, model: PreTrainedModel, auto_class: Any) -> BitsAndBytesConfig:
    """The configuration with which `from_pretrained` quantises the blocks of a model and nothing else.

    By default bitsandbytes quantises every linear map but the output embeddings: the fresh task head too, and the
    pooler and the dense layers in front of it. They have no trained weights to quantise, and training them fails in
    the first step. Full precision costs little there: the blocks hold most of a model's weights.

    Four bits are NF4 with double quantisation (Dettmers et al. 2023, "QLoRA"), computed in bfloat16, on a GPU without
    it in float16, on the CPU in float32. You can change the fields of the result before use.

    Args:
        quantization: `"8bit"` or `"4bit"`.
        model: a hub id, a directory, or a model configuration.
        auto_class: the class to load the model with: `AutoModelForCausalLM`, `BertForTokenClassification`, …

    Raises:
        ValueError: another `quantization`, or a model whose blocks are not found.
        ImportError: bitsandbytes is not installed.
        RuntimeError: bitsandbytes does not work on this machine.
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(f"quantization must be one of {', '.join(map(repr, QUANTIZATIONS))}, got {quantization!r}")
    device = torch.device("cpu")
    if torch.accelerator.is_available():
        device = torch.accelerator.current_accelerator() or device
    _try_bitsandbytes(quantization, device)
    config = AutoConfig.from_pretrained(model) if isinstance(model, (str, PathLike)) else model
    with torch.device("meta"):
        skeleton = getattr(auto_class, "from_config", auto_class)(config)
    outside = outside_the_blocks(skeleton)
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=outside)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        llm_int8_skip_modules=outside,  # its name is older than four bits
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=_compute_dtype(device),
    )


def prepare_for_training(
    model: PreTrainedModel, *, gradient_checkpointing: bool = True, use_reentrant: bool = False
) -> object:
    """Freezes a base model, quantised or not, and lets it train adapters in little memory; returns it.

    PEFT's `prepare_model_for_kbit_training` does the same and brings everything that is not quantised to float32, so
    that hidden states are float32 too: in a Llama that takes 24 bytes more for every token and hidden channel, and the
    embeddings take twice their size. Here all parts keep their type.

    Args:
        model: a model of transformers.
        gradient_checkpointing: whether blocks keep their inputs alone and compute the rest again.
        use_reentrant: the older mode of checkpointing, which needs gradients of the embeddings' output.
    """
    model.requires_grad_(False)
    if gradient_checkpointing:
        # transformers 5.24 has another name for it
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": use_reentrant})
        if use_reentrant:
            model.enable_input_require_grads()
    return model


def mend_quantised_layers(model: nn.Module) -> None:
    """Works around two faults of bitsandbytes; the tuner models call this before they add an adapter to be trained.

    4 bits: on a CPU with AVX512-BF16, bitsandbytes 0.49 and 0.50 repack the weights of a layer in its first call in
    eval mode, for a kernel that has no backward pass. Training after that silently loses the gradients through the
    layer. 8 bits: the product keeps its input for the backward pass, also where the weight is
    frozen and only a trained weight would need it, and gradient checkpointing does not see what it keeps.
    """
    layer: Any
    for layer in model.modules():
        if vars(layer).get("support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
            layer.state_dict()  # which undoes a repacking, as nothing else in bitsandbytes' public interface does
        if type(layer).__name__ == "Linear8bitLt" and _release_input not in layer._forward_hooks.values():
            layer.register_forward_hook(_release_input)


def _release_input(layer: Any, args: Any, output: Any) -> None:
    """Takes the input out of the context of an 8-bit product whose weight is frozen."""
    function = output.grad_fn
    if function is not None and not _is_product(function):  # the conversion of its result
        function = next((inner for inner, _ in function.next_functions if inner is not None), None)
    if function is None or not _is_product(function) or layer.weight.requires_grad:
        return
    if hasattr(function, "tensors"):
        function.tensors = (None, None, None)
    elif hasattr(function, "A"):
        function.A = None


def _is_product(function: object) -> bool:
    return type(function).__name__.startswith("MatMul8bit")


def _try_bitsandbytes(quantization: str, device: torch.device) -> None:
    """Quantises a few numbers: bitsandbytes may be installed and yet lack what this machine needs."""
    try:
        import bitsandbytes

        row = torch.ones(1, 64, dtype=torch.float16, device=device)
        if quantization == "8bit":
            bitsandbytes.functional.int8_vectorwise_quant(row)
        else:
            bitsandbytes.functional.quantize_4bit(row, quant_type="nf4")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"quantization={quantization!r} needs {error.name}, which is not installed; try `pip install bitsandbytes`"
        ) from error
    except Exception as error:  # a failed import, a missing native library, an operation the device lacks: no one type
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise RuntimeError(
            f"quantization={quantization!r}: bitsandbytes does not work on {device.type} here ({reason}); "
            "`python -m bitsandbytes` tells more. Without quantization the model can be loaded in bfloat16."
        ) from error


def _compute_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def outside_the_blocks(model: nn.Module) -> list[str]:
    """Names of the linear maps outside the transformer blocks."""
    try:
        family = find_family(model)
    except ValueError as error:
        raise ValueError(
            f"{type(model).__name__}: its transformer blocks and its heads are not known; please give "
            "transformers.BitsAndBytesConfig the names of the heads as llm_int8_skip_modules."
        ) from error
    block = re.compile(rf"(?:.*\.)?{family.block}\..+")
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and not block.fullmatch(name)
    ]
