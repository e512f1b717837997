"""Computes fusions with AdapterHub's library, as `make_oracle.py` does single adapters, in the same environment.

    .oracle/bin/python tests/oracle/make_fusion.py DIRECTORY [--cases bert gpt2 …] [--configs seq_bn …]

`DIRECTORY/<case>` gets `base/`, `fusion_<configuration>/{a,b,fusion}` and `fusion.safetensors`, with inputs and
outputs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import transformers
from adapters import AdapterFusionConfig, BnConfig, DoubleSeqBnConfig, ParBnConfig, SeqBnConfig
from adapters.composition import Average, Fuse
from make_oracle import CASES, Case, build, initialise, output_of
from safetensors.torch import save_file
from tiny_models import tiny_inputs

DYNAMIC, STATIC = (AdapterFusionConfig.load(name) for name in ("dynamic", "static"))
CONFIGURATIONS: dict[str, tuple[BnConfig, BnConfig, Any]] = {
    "seq_bn": (SeqBnConfig(reduction_factor=4), SeqBnConfig(reduction_factor=8), DYNAMIC),
    "double_seq_bn": (DoubleSeqBnConfig(reduction_factor=4), DoubleSeqBnConfig(reduction_factor=2), STATIC),
    "par_bn": (ParBnConfig(reduction_factor=4), ParBnConfig(reduction_factor=8), DYNAMIC),
    "left_out": (
        SeqBnConfig(reduction_factor=4, leave_out=[1]),
        SeqBnConfig(reduction_factor=4, leave_out=[1]),
        AdapterFusionConfig.load("dynamic", temperature=True, value_before_softmax=False),
    ),
}


def there(directory: Path) -> Any:
    """The base model that `make_oracle.py` has left; None where it has not."""
    if not directory.exists():
        return None
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return getattr(transformers, config["architectures"][0]).from_pretrained(directory)


def make(name: str, case: Case, configurations: list[str], directory: Path) -> None:
    model = there(directory / "base") or build(case)
    model_class = type(model)
    model.save_pretrained(directory / "base")
    inputs = {k: v for k, v in tiny_inputs(case.model_type).items() if not case.inputs or k in case.inputs}
    golden = {f"input.{key}": value for key, value in inputs.items()}
    golden["plain"] = output_of(model, inputs)
    for configuration in configurations:
        model = model_class.from_pretrained(directory / "base")
        first, second, fusion = CONFIGURATIONS[configuration]
        try:
            initialise(model)
            model.add_adapter("a", config=first)
            model.add_adapter("b", config=second)
            model.add_adapter_fusion(["a", "b"], fusion)
            generator = torch.Generator().manual_seed(2)
            with torch.no_grad():
                for key, parameter in model.named_parameters():
                    # Larger scores would make the softmax a choice of one, which magnifies rounding.
                    scale = 0.3 * (".adapters." in key) + 0.1 * (".adapter_fusion_layer." in key)
                    parameter += scale * torch.randn(parameter.shape, generator=generator)
            model.active_adapters = Fuse("a", "b")
            output = output_of(model, inputs)
            target = directory / f"fusion_{configuration}"
            target.mkdir(parents=True, exist_ok=True)
            for adapter in ("a", "b"):
                model.save_adapter(str(target / adapter), adapter, with_head=False)
            model.save_adapter_fusion(str(target / "fusion"), "a,b")
            golden[f"output.fusion_{configuration}"] = output
            model.active_adapters = Average("a", "b", weights=[0.25, 0.75])
            golden[f"output.average_{configuration}"] = output_of(model, inputs)
        except Exception as error:  # the library fails in many ways, and each is a line of the report
            print(f"{name} {configuration}: {type(error).__name__}: {str(error).splitlines()[:1]}")
    save_file(golden, directory / "fusion.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compute fusions with AdapterHub's library.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--configs", nargs="+", choices=CONFIGURATIONS, default=list(CONFIGURATIONS))
    arguments = parser.parse_args()
    for name in arguments.cases:
        make(name, CASES[name], arguments.configs, arguments.directory / name)


if __name__ == "__main__":
    main()
