"""The pytest plugin under which PEFT's suites run: our methods in the place of PEFT's, and account of every test.

A test is one of these, else the run stops and names it:

* parametrised over methods: its parametrisation is replaced, by `our_cases`;
* written for LoRA, but true of every method: `LoraConfig` is replaced in its module while it runs (`STAND_INS`);
* about all methods at once (`AS_IS`);
* in the table of `deselected`.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from deselected import DESELECTED, NO_MERGE, SKIPPED, XFAIL
from groups import Table
from opened import AS_IS, LISTED, LISTED_AS_IA3, LORA_BY_NAME, NEVER_SKIP, STAND_INS
from our_cases import COMPILED, CONFIGS, CUSTOM, FAMILIES, SHORT, TWO_ADAPTERS, TYPES, like_lora, quotes, translated
from peft import LoraConfig, PeftConfig, PeftType
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

from peft_bottleneck.config import BottleneckConfig

FAST = os.environ.get("CONFORMANCE_FAST") == "1"


class Account:
    """What became of every test, for the summary."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.deselected: Counter[str] = Counter()
        self.unaccounted: list[str] = []


ACCOUNT = Account()
TABLE = Table(DESELECTED)


def name_of(item: Any) -> str:
    """`suite::test`, as the tables write it."""
    function = item.function if hasattr(item, "function") else item.obj
    return f"{item.module.__name__.rpartition('.')[2]}::{function.__name__}"


# --- parametrisations -----------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = metafunc.definition.own_markers
    for position, mark in enumerate(marks):
        if mark.name == "parametrize":
            names, values = mark.args[0], mark.args[1]
            replaced = _replaced([name.strip() for name in names.split(",")], list(values))
            if replaced is not None:
                marks[position] = pytest.mark.parametrize(names, replaced).mark
    if name_of(metafunc.definition) in STAND_INS:
        metafunc.fixturenames.append("in_place_of_lora")
        metafunc.parametrize("in_place_of_lora", [pytest.param(cls, id=SHORT[cls]) for cls in _fast(TYPES)])


def _replaced(names: list[str], values: list[Any]) -> list[Any] | None:
    """The values to run with; None if no method is among the old ones."""
    rows = [_row(value) for value in values]
    if "model_id" in names and len(names) == 1:
        return list(_fast(values))
    if not any(_method(entry) for row in rows for entry in row):
        return None
    match names:
        case ["test_name", "model_id", "config_cls", "config_kwargs"]:
            return [
                pytest.param(name, model_id, cls, kwargs, id=f"{name} {SHORT[cls]}".replace(" ", "-"))
                for name, model_id, kwargs in (CUSTOM if not FAST else CUSTOM[3:5])
                for cls in TYPES
            ]
        case ["test_name", "tuner_method", "config_cls", "config_kwargs_1", "config_kwargs_2"]:
            return [
                pytest.param(name, SHORT[cls], cls, first, second, id=f"{name}-{SHORT[cls]}")
                for name, first, second in TWO_ADAPTERS
                for cls in TYPES
            ]
        case ["config_cls", "config_kwargs"]:
            task = next(row[1]["task_type"] for row in rows)
            return [
                pytest.param(cls, {"task_type": task, **kwargs}, id=name)
                for name, cls, kwargs in (FAMILIES if not FAST else FAMILIES[::2])
            ]
        case ["config_class", "mandatory_kwargs"]:
            return [pytest.param(cls, kwargs, id=name) for name, cls, kwargs in CONFIGS]
        case ["config_cls"] | ["config_class"]:
            return [pytest.param(cls, id=SHORT[cls]) for cls in TYPES]
        case ["settings"]:
            return [pytest.param((config, {}), id=name) for name, config in COMPILED]
        case _:  # configurations written out: ours in LoRA's place
            of_lora = [row for row in rows if any(type(entry) is LoraConfig for entry in row)]
            return [
                pytest.param(
                    *(translated(cls, entry) if type(entry) is LoraConfig else entry for entry in row),
                    id=f"{SHORT[cls]}-{number}",
                )
                for number, row in enumerate(of_lora)
                for cls in TYPES
            ]


def _row(value: Any) -> tuple[Any, ...]:
    value = value.values if hasattr(value, "marks") else value  # pytest.param(…)
    return value if isinstance(value, tuple) else (value,)


def _method(entry: Any) -> bool:
    if isinstance(entry, tuple):
        return any(map(_method, entry))
    return isinstance(entry, PeftConfig) or (isinstance(entry, type) and issubclass(entry, PeftConfig))


def _fast(values: Any) -> Any:
    return values[:1] if FAST else values


# --- which tests run ------------------------------------------------------------------------------------------------


def method_of(item: Any) -> type[BottleneckConfig] | None:
    """Which of our methods a test runs with; None if it is about none of them."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    for entry in (part for value in values for part in _row(value)):
        cls = entry if isinstance(entry, type) else type(entry)
        if issubclass(cls, BottleneckConfig):
            return cls
    return None


def tuner_of(method: type[BottleneckConfig]) -> Any:
    return PEFT_TYPE_TO_TUNER_MAPPING[method().peft_type]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    run, deselected = [], []
    for item in items:
        name, method = name_of(item), method_of(item)
        reason = TABLE.reason_for(name, method, item.name)
        if reason is not None:
            ACCOUNT.deselected[reason] += 1
            deselected.append(item)
        elif method is None and name not in AS_IS:
            ACCOUNT.unaccounted.append(name)
        else:
            run.append(item)
            item.module.load_dataset_english_quotes = quotes
    config.hook.pytest_deselected(items=deselected)
    items[:] = run
    if ACCOUNT.unaccounted:
        names = "\n".join(sorted(set(ACCOUNT.unaccounted)))
        raise pytest.UsageError(f"Neither replaced nor in the tables of tests/conformance:\n{names}")


# --- skips that leave us out by name --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lifts the skips for methods that PEFT does not list, and puts ours in LoRA's place."""
    method = method_of(request.node)
    if method is None:
        return
    common = sys.modules.get(f"{request.module.__package__}.testing_common")
    modules = [request.module] if common is None else [request.module, common]
    name = name_of(request.node)
    suite, _, test = name.partition("::")
    replacements: dict[str, Any] = dict.fromkeys(NEVER_SKIP, _never_skip)
    replacements["PREFIXES"] = {method: tuner_of(method).prefix}  # a table of PEFT 0.18's suites
    if suite == "test_custom_models":
        replacements["_skip_if_merging_not_supported"] = _skip_merging
    if test in LISTED_AS_IA3:
        replacements["IA3Config"] = method
    if any(fnmatchcase(test, pattern) for pattern in LISTED):
        replacements["LoraConfig"] = method
        replacements["PeftType"] = SimpleNamespace(**vars(PeftType)["_member_map_"] | {"LORA": method().peft_type})
    for module in modules:
        for attribute, replacement in replacements.items():
            if hasattr(module, attribute):
                monkeypatch.setattr(module, attribute, replacement)
    if name in STAND_INS:
        monkeypatch.setattr(request.module, "LoraConfig", partial(like_lora, method))
        _name_parts_as_lora(request, monkeypatch, method)


def _never_skip(*args: Any) -> None: ...


def _skip_merging(*args: Any) -> None:
    pytest.skip(NO_MERGE)


def _name_parts_as_lora(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, method: Any) -> None:
    """`lora_A` is the map down, `lora_B` the map up, for tests that look at the parts of a layer."""
    layer_class = tuner_of(method).bottleneck_layer_cls
    parts = {lora: f"{layer_class.prefix}{own}" for lora, own in LORA_BY_NAME.items()}
    monkeypatch.setattr(method, "rank_pattern", property(lambda config: config.bottleneck_size_pattern), raising=False)
    for lora, own in parts.items():
        monkeypatch.setattr(layer_class, lora, property(lambda layer, own=own: getattr(layer, own)), raising=False)
    check = getattr(request.cls, "check_requires_grad", None)
    if check is not None:

        def check_ours(self: Any, model: Any, *expected: str) -> None:
            for lora, own in parts.items():
                expected = tuple(name.replace(lora, own) for name in expected)
            check(self, model, *expected)

        monkeypatch.setattr(request.cls, "check_requires_grad", check_ours)


# --- the summary ----------------------------------------------------------------------------------------------------


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.skipped:
        message = XFAIL if hasattr(report, "wasxfail") else str(call.excinfo.value)
        explained = [reason for start, reason in SKIPPED.items() if message.startswith(start)]
        if explained:
            ACCOUNT.skipped[explained[0]] += 1
        else:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: a skip that no table explains: {message}"
    if report.failed:
        ACCOUNT.counts["failed"] += 1
    elif report.passed and report.when == "call":
        ACCOUNT.counts["passed"] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    target = os.environ.get("CONFORMANCE_SUMMARY")
    if target is None:
        return
    import peft
    import torch
    import transformers

    suites = {name_of(item).partition("::")[0] for item in session.items}
    summary = {
        "peft": peft.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "passed": ACCOUNT.counts["passed"],
        "failed": ACCOUNT.counts["failed"],
        "skipped": dict(ACCOUNT.skipped),
        "deselected": dict(ACCOUNT.deselected),
        "unused": [line for suite in suites for line in TABLE.unused(suite)],
    }
    with open(target, "w", encoding="utf-8") as file:
        json.dump(summary, file, indent=2, ensure_ascii=False)


# PEFT's common tests name diffusers' pipeline in one `isinstance`; nothing here is one, so the package is not needed.
if find_spec("diffusers") is None:
    diffusers = ModuleType("diffusers")
    diffusers.__spec__ = ModuleSpec("diffusers", None)
    diffusers.StableDiffusionPipeline = type("StableDiffusionPipeline", (), {})  # type: ignore[attr-defined]
    sys.modules["diffusers"] = diffusers
