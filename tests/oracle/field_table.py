"""Prints what becomes here of every field's every value in AdapterHub's library, as a table.

    python tests/oracle/field_table.py DIRECTORY

`DIRECTORY` is what `make_oracle.py DIRECTORY --fields` has left. A line is a configuration: in which cases it agrees,
with the largest error, and where it is refused, and why. Exits with 1 if one differs.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections import defaultdict

os.environ["ORACLE"] = sys.argv[1]
import json
import re

import transformers
from cases import CASES, DIRECTORY, base_model, golden, output_of, unpadded

from peft_bottleneck import load_adapterhub

BOUND = 1e-5
BOUND_OF_T5 = 2e-5  # it attends in another order since transformers 5


def changed(case: str, configuration: str) -> str:
    """The fields of a configuration that are not the defaults of its base."""
    config, plain = (
        json.loads((DIRECTORY / case / name / "adapter_config.json").read_text(encoding="utf-8"))["config"]
        for name in (configuration, f"{configuration.partition('-')[0]}-seed-0")
    )
    changes = {key: value for key, value in config.items() if value != plain.get(key) and key != "init_weights_seed"}
    return ", ".join(f"{key}={value!r}" for key, value in changes.items()) or "its defaults"


def main() -> int:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    errors: dict[str, dict[str, float]] = defaultdict(dict)
    reasons: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    names: dict[str, str] = {}
    for case, configuration in CASES:
        names.setdefault(configuration, changed(case, configuration))
        inputs, outputs = golden(case)
        try:
            model = load_adapterhub(base_model(case), DIRECTORY / case / configuration)
        except ValueError as error:
            reason = re.sub(r"^AdapterHub checkpoint '[^']*': ", "", str(error))
            reasons[configuration][reason].append(case)
            continue
        difference = output_of(model, inputs) - outputs[f"output.{configuration}"]
        errors[configuration][case] = float(unpadded(difference, inputs).abs().max())
    wrong = 0
    print("| base | fields | agree | largest error | refused |\n| --- | --- | --- | --- | --- |")
    for configuration, fields in sorted(names.items()):
        found = errors[configuration]
        differing = {c: e for c, e in found.items() if not e <= (BOUND_OF_T5 if c.startswith("t5") else BOUND)}
        wrong += len(differing)
        refused = "; ".join(f"{', '.join(cases)}: {reason}" for reason, cases in reasons[configuration].items())
        if differing:
            refused += f" DIFFER: {differing}"
        worst = f"{max(found.values()):.1e}" if found else ""
        base = configuration.partition("-")[0]
        print(f"| {base} | {fields} | {len(found) - len(differing)} | {worst} | {refused} |")
    print(f"\n{sum(map(len, errors.values())) - wrong} agree, {wrong} differ")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
