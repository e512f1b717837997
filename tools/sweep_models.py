"""Tries every method on every model type of transformers: `python tools/sweep_models.py results.jsonl [TYPE …]`.

Each type is built from its configuration made small, as far as that can be done without knowing it. Each method then
works (an exact no-op at the start, an effect afterwards; foldable adapters fold into a model that can be built again),
or is refused by name; all else is a fault. Types that the file has are skipped, so that a sweep goes on where it was
cut off; `--show` prints the counts and what is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForDepthEstimation,
    AutoModelForImageTextToText,
    AutoModelForObjectDetection,
    AutoModelForPreTraining,
    AutoModelForSeq2SeqLM,
    AutoModelForSpeechSeq2Seq,
    PretrainedConfig,
)
from transformers.utils import logging

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck.layer import BottleneckLayer
from peft_bottleneck.sites.dummy_inputs import inputs_of_model
from peft_bottleneck.sites.structure import find_family

if TYPE_CHECKING:
    from transformers import PreTrainedModel

METHODS: dict[str, Callable[[], PeftConfig]] = {
    "houlsby": lambda: HoulsbyConfig(bottleneck_size=4),
    "pfeiffer": lambda: PfeifferConfig(bottleneck_size=4),
    "parallel": lambda: ParallelAdapterConfig(bottleneck_size=4),
    "foldable": lambda: ParallelAdapterConfig(foldable=True, bottleneck_size=4),
}
Built = tuple[PretrainedConfig, nn.Module, dict[str, object] | None]  # with inputs that the model takes
SECONDS, LARGEST = 90, 40_000_000
# What the name of a number ends with, and how small it becomes.
SMALL = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_decoder_layers", "num_encoder_layers", "depth", "num_global_layers"), 2),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "embedding_size", "projection_dim"), 64),
    **dict.fromkeys(("intermediate_size", "d_ff", "ffn_dim", "n_inner", "hidden_dim", "mlp_dim"), 128),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok"), 2),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("head_dim", "d_kv", "hidden_size_per_layer_input"), 16),
    **dict.fromkeys(("vocab_size",), 1000),
    **dict.fromkeys(("image_size", "max_position_embeddings", "n_positions"), 64),
}
CLASSES = (
    *(AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForImageTextToText, AutoModelForPreTraining),
    *(AutoModelForSpeechSeq2Seq, AutoModelForObjectDetection, AutoModelForDepthEstimation),
)
DEPTHS = ("layers", "n_layer", "depth")
FEW = (*DEPTHS, "num_experts", "routed_experts", "vocab_size", "token_id")
# Rotary embeddings may be split into sections that need heads of 128 channels.
WIDE_HEADS = {"hidden_size": 256, "n_embd": 256, "num_attention_heads": 2, "n_head": 2, "head_dim": 128}


def configurations(config_class: type[PretrainedConfig]) -> Iterator[PretrainedConfig]:
    """The configuration with small numbers, with few layers, and as it is: the first that can be called serves."""
    heads, wide = {**SMALL, "num_key_value_heads": SMALL["num_attention_heads"]}, {**SMALL, **WIDE_HEADS}
    for ends, sizes in ((("",), SMALL), (("",), heads), (("",), wide), (FEW, SMALL), (DEPTHS, SMALL), ((), SMALL)):
        try:
            yield config_class(**_small(config_class(), ends, sizes))
        except Exception:
            continue


def _small(config: PretrainedConfig, ends: tuple[str, ...], sizes: dict[str, int]) -> dict[str, object]:
    # A cache counts the tokens by a layer of attention, which the first two of a hybrid model may lack.
    changed: dict[str, object] = {"use_cache": False} if hasattr(config, "use_cache") else {}
    for name, value in vars(config).items():
        if isinstance(value, PretrainedConfig):
            changed[name] = {"model_type": value.model_type, **_small(value, ends, sizes)}
        elif (
            isinstance(value, int) and not isinstance(value, bool) and not name.startswith("_") and name.endswith(ends)
        ):
            small = next((size for end, size in sizes.items() if name == end or name.endswith("_" + end)), None)
            if name.endswith("token_id"):
                small = 1 if value >= sizes["vocab_size"] else None
            if small is not None and value > small:
                changed[name] = small
    return changed


def build(config: PretrainedConfig) -> PreTrainedModel:
    make = _maker(config)
    with torch.device("meta"):
        model = make(config)
    if sum(parameter.numel() for parameter in model.parameters()) > LARGEST:
        return model.eval()
    torch.manual_seed(0)
    return make(config).eval()


def _maker(config: PretrainedConfig) -> Callable[[PretrainedConfig], PreTrainedModel]:
    """The auto class of a configuration, or the model class that names it, for parts of other models."""
    auto_class = next((auto for auto in CLASSES if type(config) in auto._model_mapping), None)
    if auto_class is not None:
        made: Callable[[PretrainedConfig], PreTrainedModel] = auto_class.from_config
        return made
    module = import_module(type(config).__module__.replace(".configuration_", ".modeling_"))
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, nn.Module)]
    named = [each for each in classes if getattr(each, "config_class", None) is type(config)]
    own = [each for each in named if each.__module__ == module.__name__ and "PreTrained" not in each.__name__]
    if not own:
        raise RuntimeError(f"no model class names {type(config).__name__}")
    return min(own, key=lambda each: (not each.__name__.endswith("Model"), len(each.__name__)))


def tensors(result: object) -> list[Tensor]:
    return [
        leaf for leaf in tree_leaves(dict(result) if isinstance(result, dict) else result) if isinstance(leaf, Tensor)
    ]


def call(model: PreTrainedModel, inputs: dict[str, object]) -> list[Tensor]:
    torch.manual_seed(1)
    with torch.no_grad():
        return tensors(model(**inputs))


def difference(one: list[Tensor], other: list[Tensor]) -> float:
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a.is_floating_point()]
    return max((float((a - b).abs().nan_to_num(0).max()) for a, b in pairs if a.numel()), default=0.0)


def try_method(method: str, config: PretrainedConfig, inputs: dict[str, object] | None) -> str:
    model = build(config)
    # Frozen, as adapters leave it: torch multiplies strided inputs in another order where a weight is trained.
    expected = None if inputs is None else call(model.requires_grad_(False), inputs)
    try:
        adapted = get_peft_model(model, METHODS[method]()).eval()
    except ValueError as error:
        return f"refused: {error}"
    layers = [module for module in adapted.modules() if isinstance(module, BottleneckLayer)]
    if expected is None or inputs is None:
        return f"sites only: {len(layers)}"
    start = difference(call(adapted, inputs), expected)
    if start:
        return f"FAULT: off by {start:.1e} at the start"
    generator = torch.Generator().manual_seed(0)
    reached: set[nn.Module] = set()
    for layer in layers:
        layer.register_forward_hook(lambda module, args, output: reached.add(module))
        for parameter in layer.parameters():
            if parameter.requires_grad:
                parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    changed = call(adapted, inputs)
    effect = difference(changed, expected)
    if not effect:
        return f"FAULT: no effect, {len(reached)} of {len(layers)} layers called"
    if method == "foldable":
        try:
            folded = adapted.merge_and_unload()
        except ValueError as error:
            return f"refused when folding: {error}"
        off = difference(call(folded, inputs), changed)
        if off > 1e-3 * max(1.0, effect):
            return f"FAULT: folding is off by {off:.1e} of {effect:.1e}"
        twin = type(folded)(folded.config)
        twin.load_state_dict(folded.state_dict())
    return f"works: {len(reached)} of {len(layers)} layers called"


def built(model_type: str) -> Built:
    """The first configuration whose model can be called with guessed inputs, else the first that can be built."""
    first: Built | None = None
    confirmed: Built | None = None
    why = "no configuration"
    for config in configurations(CONFIG_MAPPING[model_type]):
        try:
            model = build(config)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            continue
        first = first or (config, model, None)
        on_meta = any(parameter.is_meta for parameter in model.parameters())
        for guess in () if on_meta else inputs_of_model(model):
            inputs = {
                name: torch.randn_like(value) if value.is_floating_point() else value for name, value in guess.items()
            }
            try:
                call(model, inputs)
                return config, model, inputs
            except Exception:
                continue
        if confirmed is None:
            try:
                find_family(model)
                confirmed = config, model, None
            except ValueError:
                pass
    if first is None:
        raise RuntimeError(why[:200])
    return confirmed or first


def try_type(model_type: str) -> dict[str, str]:
    config, model, inputs = built(model_type)
    on_meta = any(parameter.is_meta for parameter in model.parameters())
    found = {"built": "meta" if on_meta else "real" if inputs else "real, no inputs guessed"}
    try:
        row = find_family(model)
        parts = (row.block, row.attention_output, row.ffn_input, row.ffn_output, row.ffn, row.ffn_norm, row.residual)
        found["sites"] = str((*row.model_types[:1], *parts)).replace("\\\\", "")
    except ValueError as error:
        found["sites"] = f"refused: {error}"
    for method in METHODS:
        try:
            found[method] = try_method(method, config, inputs)
        except Exception as error:
            found[method] = f"{_blame(config, error)}: {type(error).__name__}: {str(error)[:300]}"
    return found


def _blame(config: PretrainedConfig, error: Exception) -> str:
    """Whose fault an error is: PEFT's own, where LoRA ends in the same."""
    try:
        get_peft_model(build(config), LoraConfig(target_modules="all-linear"))
    except Exception as same:
        if type(same) is type(error):
            return "as LoRA"
    return "FAULT"


def show(path: Path) -> None:
    results = {line["type"]: line for line in map(json.loads, path.read_text().splitlines())}
    print(Counter(line["built"].split(":")[0] for line in results.values()))
    for method in ("sites", *METHODS):
        print(method, Counter(line[method].split(":")[0] for line in results.values() if method in line))
    for model_type, line in results.items():
        for method, said in line.items():
            if said.startswith("FAULT"):
                print(model_type, method, said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("types", nargs="*")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    if arguments.show:
        return show(arguments.results)
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    done = set()
    if arguments.results.exists():
        done = {json.loads(line)["type"] for line in arguments.results.read_text().splitlines()}
    signal.signal(signal.SIGPROF, _too_long)
    for model_type in arguments.types or sorted(CONFIG_MAPPING):
        if model_type in done:
            continue
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: other processes may take their time
        try:
            found = try_type(model_type)
        except Exception as error:
            found = {"built": f"no: {str(error)[:200]}"}
        signal.setitimer(signal.ITIMER_PROF, 0)
        with arguments.results.open("a") as lines:
            lines.write(json.dumps({"type": model_type, **found}) + "\n")
        print(model_type, found, file=sys.stderr, flush=True)
    return None


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {SECONDS} s of the processor")


if __name__ == "__main__":
    main()
