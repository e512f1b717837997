"""Prediction heads in checkpoints of AdapterHub's library, as the heads of transformers' own classes, and back.

In PEFT a head is a set of `modules_to_save`: copies of the model's modules that are trained, saved and switched with
the adapter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..registration import ModulesToSaveWrapper
from .head_configs import NoCounterpart, flexible_config, layout_of, positions
from .head_layouts import AUTO_CLASSES, LAYOUTS, HeadLayout

_LABELLED = ("classification", "multilabel_classification", "image_classification", "tagging", "multiple_choice")


@dataclass(frozen=True)
class Head:
    """A head as a checkpoint holds it.

    Attributes:
        name: its name; None: it is the only one of its model.
        kind: what the library calls it; None: no class of transformers has such a head.
        model_class: the class that it was saved from.
        config: its configuration; None: it is the head of a class of transformers, not of a flexible one.
        weights: its tensors, by their names in the head or, without a configuration, in the model.
        label2id: its labels.
        num_labels: their number, where it is known.
    """

    name: str | None
    kind: str | None
    model_class: str
    config: Mapping[str, Any] | None
    weights: Mapping[str, Tensor]
    label2id: Mapping[str, int]
    num_labels: int | None

    @classmethod
    def read(cls, description: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Head:
        """The head that the contents of its two files describe.

        Raises:
            ValueError: a field of the description has a value of a type that it cannot have.
        """
        config, name, model_class = (description.get(key) for key in ("config", "name", "model_class"))
        source = description if config is None else config
        if not isinstance(source, Mapping):
            raise ValueError(f"config must be an object, got {source!r}")
        given = source.get("label2id") or {}
        number = source.get("num_labels") or source.get("num_choices")
        try:
            labels = {str(label): int(number) for label, number in given.items()}
            count = max((*labels.values(), -1)) + 1 if number is None else int(number)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"label2id must be an object of numbers and num_labels a number, got {given!r} and {number!r}"
            ) from error
        kind = source.get("head_type")
        if config is None:
            of_class = (row.kinds[0] for row in LAYOUTS if str(model_class).endswith(row.classes))
            kind = next(of_class, None)
        return cls(
            name=name,
            kind=kind,
            model_class=str(model_class),
            config=config,
            weights=weights if config is None else _without_prefix(weights, f"heads.{name}."),
            label2id=labels,
            num_labels=count or None,
        )

    @property
    def auto_class(self) -> str | None:
        """The class of transformers that has such a head; None: there is none."""
        return AUTO_CLASSES.get(self.kind or "")

    def settings(self) -> dict[str, Any]:
        """The fields of a model's configuration that the head decides on."""
        if self.kind not in _LABELLED or self.num_labels is None:
            return {}
        settings: dict[str, Any] = {"num_labels": self.num_labels}
        if self.label2id:
            names = {number: label for label, number in self.label2id.items()}
            labels = {number: names.get(number, f"LABEL_{number}") for number in range(self.num_labels)}
            settings["id2label"] = labels
            settings["label2id"] = {label: number for number, label in labels.items()}
        multilabel = self.kind == "multilabel_classification" or (self.config or {}).get("multilabel")
        return settings | ({"problem_type": "multi_label_classification"} if multilabel else {})


@dataclass(frozen=True)
class FittedHead:
    """A head and the modules of a model that compute it.

    Attributes:
        modules: the modules' full names, with the tensors that each takes.
        settings: fields of the model's configuration.
    """

    modules: Mapping[str, Mapping[str, Tensor]]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, head: Head, base: PreTrainedModel, *, resizable: bool) -> FittedHead:
        """The head in this model; `resizable` allows the model to take the head's number of labels.

        Raises:
            NoCounterpart: nothing in the model computes the head.
        """
        if head.kind is None or head.auto_class is None:
            raise NoCounterpart(f"transformers has no class with a head of type {head.kind or head.model_class!r}")
        if head.config is not None:
            tensors = _flexible_tensors(head.weights, layout_of(head.kind, head.config, base), head.config, base)
        elif type(base).__name__ == head.model_class:
            tensors = _by_first_name(head.weights, last=True)
        else:
            raise NoCounterpart(f"it is the head of {head.model_class}, and the model is {type(base).__name__}")
        settings = head.settings()
        labels, own = settings.get("num_labels"), base.config.num_labels
        other = labels not in (None, own) and head.kind != "multiple_choice"  # one output for any number of labels
        if other and not resizable:
            raise NoCounterpart(f"it has {labels} labels, the model {own}")
        modules = {_full_name(base, name): value for name, value in tensors.items()}
        outputs = len([*modules.values()][-1]["weight"]) if modules and "num_labels" in settings else None
        if outputs not in (None, labels) and head.kind != "multiple_choice":
            raise NoCounterpart(f"its weights are of {outputs} labels, its configuration of {labels}")
        output = [*modules][-1] if other else None
        for name, value in modules.items():
            _check(name, _of_adapter(base, name)[0], value, resized=name == output)
        return cls({name: value for name, value in modules.items() if not _is_own(base, name, value)}, settings)

    def modules_to_save(self, base: PreTrainedModel) -> list[str] | None:
        """The modules that PEFT copies for the adapter, or the larger ones that it copies for other adapters."""
        names = {_outermost_wrapper(base, name) or name for name in self.modules}
        return sorted(names) or None

    @torch.no_grad()
    def join(self, base: PreTrainedModel, adapter_name: str) -> None:
        """Fills the adapter's copies of the modules, and gives the model the head's labels."""
        for name, tensors in self.modules.items():
            module, _ = _of_adapter(base, name, adapter_name)
            _resize(module, tensors)
            for key, value in tensors.items():
                module.get_parameter(key).copy_(value)
        for key, value in self.settings.items():
            setattr(base.config, key, value)
        if "num_labels" in self.settings and hasattr(base, "num_labels"):
            base.num_labels = self.settings["num_labels"]


def fitted_head(head: Head | None, base: PreTrainedModel, where: str, *, resizable: bool) -> FittedHead | None:
    """A checkpoint's head in a model; None, and a warning that says why, where the model does not compute it."""
    if head is None:
        return None
    try:
        return FittedHead.of(head, base, resizable=resizable)
    except NoCounterpart as reason:
        warnings.warn(f"{where}: its head {head.name or head.kind!r} is left out: {reason}", stacklevel=3)
        return None


def head_of(base: PreTrainedModel, adapter_name: str, called: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """The head that an adapter has among its modules to save, as a flexible one that is `called` so.

    Returns:
        Its configuration and its tensors; None where the library has no head of these modules.
    """
    saved = {path for path, module in _modules(base) if _is_saved(module, adapter_name)}
    for layout in LAYOUTS:
        if not type(base).__name__.endswith(layout.classes) or base.config.model_type not in layout.families:
            continue
        paths = [_full_name(base, module) for module in layout.modules]
        used = {path for path in saved if any(f"{name}.".startswith(f"{path}.") for name in paths)}
        found = [_of_adapter(base, path, adapter_name) for path in paths]
        if used == saved and all(copied or _is_output(base, module) for module, copied in found):
            config = flexible_config(layout, base)
            tensors = {
                f"heads.{called}.{place}.{key}": value.detach().cpu().clone()
                for place, (module, _) in zip(positions(config), found, strict=True)
                for key, value in module.named_parameters()
            }
            first = f"heads.{called}.{positions(config)[0]}.weight"
            tensors[first] = tensors[first] / _scale(layout, base)
            return config, tensors
    return None


def _flexible_tensors(
    weights: Mapping[str, Tensor], layout: HeadLayout, config: Mapping[str, object], base: PreTrainedModel
) -> dict[str, dict[str, Tensor]]:
    """A flexible head's tensors by the module that takes them."""
    by_place, places = _by_first_name(weights), [str(place) for place in positions(config)]
    if set(by_place) != set(places):
        raise NoCounterpart(f"its weights are at {', '.join(sorted(by_place))}, not at {', '.join(places)}")
    first = by_place[places[0]]
    first["weight"] = first["weight"] * _scale(layout, base)
    return {name: by_place[place] for name, place in zip(layout.modules, places, strict=True)}


def _scale(layout: HeadLayout, base: PreTrainedModel) -> float:
    """The factor of the head's input."""
    if not layout.scaled:
        return 1.0
    tied = getattr(
        base.config, "scale_decoder_outputs", base.config.tie_word_embeddings
    )  # T5's name in transformers 5
    return float(base.config.d_model**-0.5) if tied else 1.0


def _without_prefix(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in weights.items()}


def _by_first_name(weights: Mapping[str, Tensor], *, last: bool = False) -> dict[str, dict[str, Tensor]]:
    """Tensors by what comes before the first dot of their name, or before the last."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        module, _, parameter = key.rpartition(".") if last else key.partition(".")
        found.setdefault(module, {})[parameter] = value
    return found


def _check(name: str, module: nn.Module, tensors: Mapping[str, Tensor], *, resized: bool) -> None:
    """Compares names and shapes; the first dimension may differ where a map is resized."""
    own = {key: tuple(value.shape)[resized:] for key, value in module.named_parameters()}
    given = {key: tuple(value.shape)[resized:] for key, value in tensors.items()}
    for key in sorted(own.keys() ^ given.keys()):
        raise NoCounterpart(f"it {'lacks' if key in own else 'has'} {name}.{key}, unlike the model")
    for key, shape in given.items():
        if shape != own[key]:
            raise NoCounterpart(f"its {name}.{key} has the shape {shape}, the model's {own[key]}")


def _resize(module: object, tensors: Mapping[str, Tensor]) -> None:
    """Gives a linear map as many outputs as the tensors have."""
    size = len(tensors["weight"])
    if isinstance(module, nn.Linear) and module.out_features != size:
        module.out_features = size
        for key, value in tensors.items():
            own = module.get_parameter(key)
            setattr(module, key, nn.Parameter(value.to(own), requires_grad=own.requires_grad))


def _is_output(base: PreTrainedModel, module: object) -> bool:
    return module is not None and module is base.get_output_embeddings()


def _is_own(base: PreTrainedModel, name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the model's own output embeddings: the library writes them too."""
    module, _ = _of_adapter(base, name)
    return _is_output(base, module) and all(
        torch.equal(module.get_parameter(key).detach().cpu(), value) for key, value in tensors.items()
    )


def _is_saved(module: nn.Module, adapter_name: str) -> bool:
    return isinstance(module, ModulesToSaveWrapper) and adapter_name in module.modules_to_save


def _modules(base: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    """The modules by the names that they have without PEFT's wrappers, and the wrappers in their places."""
    for name, module in base.named_modules():
        if ".modules_to_save." not in f".{name}.":
            yield ".".join(part for part in name.split(".") if part != "original_module"), module


def _full_name(base: PreTrainedModel, name: str) -> str:
    """The name in the whole model of the module that a layout calls `name`."""
    found = [full for full, _ in _modules(base) if f".{full}".endswith(f".{name}")]
    if not found:
        raise NoCounterpart(f"the model lacks {name}")
    return min(found, key=len)


def _of_adapter(base: PreTrainedModel, path: str, adapter_name: str | None = None) -> tuple[Any, bool]:
    """A module as an adapter has it, None being the base model, and whether that is a copy of the adapter's own."""
    module, copied = base, False
    for part in path.split("."):
        module = getattr(module, part)
        if isinstance(module, ModulesToSaveWrapper):
            copied = adapter_name in module.modules_to_save
            module = module.modules_to_save[adapter_name] if copied else module.original_module
    return module, copied


def _outermost_wrapper(base: PreTrainedModel, path: str) -> str | None:
    """The first part of a module's name that PEFT copies for some adapter."""
    parts = path.split(".")
    beginnings = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    wrapped = {name for name, module in _modules(base) if isinstance(module, ModulesToSaveWrapper)}
    return next((name for name in beginnings if name in wrapped), None)
