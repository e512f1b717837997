"""Our methods as members of PEFT's enumeration of methods, and of its tables."""

from __future__ import annotations

import copy
import enum
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from equations import METHODS
from peft import PeftConfig, PeftType, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from tiny_models import tiny_model

from peft_bottleneck import HoulsbyConfig, HoulsbyModel, PfeifferConfig, PfeifferModel, registration

NAMES = ("HOULSBY", "PFEIFFER", "PARALLEL_ADAPTER")


class Kind(str, enum.Enum):
    """As PEFT defines `PeftType`."""

    LORA = "LORA"


def python(code: str, **variables: str) -> list[str]:
    """The lines that code prints in a process of its own, which has imported PEFT alone."""
    start = "import json, os, pickle\nfrom peft import PeftConfig\nfolders = json.loads(os.environ['FOLDERS'])\n"
    command = [sys.executable, "-c", start + dedent(code)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | variables)
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_a_member_like_any_other(name: str) -> None:
    member = getattr(PeftType, name)
    assert member is PeftType(name) is PeftType[name] is PeftType.__members__[name]
    assert isinstance(member, PeftType)
    assert (member.name, member.value, member) == (name, name, name)
    assert repr(member) == repr(PeftType.LORA).replace("LORA", name)
    assert str(member) == str(PeftType.LORA).replace("LORA", name)
    assert {PeftType.LORA: 0, member: 1}[PeftType(name)] == 1
    assert list(PeftType).count(member) == 1
    assert len(PeftType) == len(list(PeftType)) == len(set(PeftType))


@pytest.mark.parametrize("name", NAMES)
def test_copies_are_the_member_itself(name: str) -> None:
    member = PeftType(name)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(member, protocol)) is member
    assert copy.copy(member) is copy.deepcopy(member) is member
    assert json.dumps({"peft_type": member}) == f'{{"peft_type": "{name}"}}'
    assert PeftType(json.loads(json.dumps(member))) is member


def test_the_names_of_peft_stay_closed() -> None:
    with pytest.raises(ValueError, match="'HOULSBI' is not a valid PeftType"):
        PeftType("HOULSBI")
    with pytest.raises(AttributeError):
        PeftType.HOULSBY = "other"


def test_an_enumeration_of_the_standard_library_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "PeftType", Kind)
    member = registration._peft_type("HOULSBY")
    assert registration._peft_type("HOULSBY") is member is Kind("HOULSBY") is Kind.HOULSBY  # type: ignore[attr-defined]
    assert [kind.name for kind in Kind] == ["LORA", "HOULSBY"]
    assert pickle.loads(pickle.dumps(member)) is member


def test_a_second_registration_changes_nothing() -> None:
    tables = (PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING)
    before = list(PeftType), *map(dict, tables)
    registration.register("houlsby", HoulsbyConfig, HoulsbyModel)
    assert (list(PeftType), *map(dict, tables)) == before
    assert PEFT_TYPE_TO_CONFIG_MAPPING[PeftType("HOULSBY")] is HoulsbyConfig
    assert PEFT_TYPE_TO_TUNER_MAPPING[PeftType("HOULSBY")] is HoulsbyModel
    assert PEFT_TYPE_TO_PREFIX_MAPPING[PeftType("HOULSBY")] == "houlsby_"


def test_a_name_that_is_taken() -> None:
    with pytest.raises(ValueError, match=r"already has a method 'HOULSBY' \(peft_bottleneck.methods.houlsby.Houlsby"):
        registration.register("houlsby", PfeifferConfig, PfeifferModel)


def test_only_the_import_makes_adapters_loadable(tmp_path: Path) -> None:
    for name, method in METHODS.items():
        get_peft_model(tiny_model("bert"), method()).save_pretrained(tmp_path / name)
        assert type(PeftConfig.from_pretrained(str(tmp_path / name))) is method
    folders = json.dumps({name: str(tmp_path / name) for name in METHODS})
    answers = python(
        """
        for name, folder in folders.items():
            try:
                print(name, type(PeftConfig.from_pretrained(folder)).__name__)
            except (KeyError, ValueError) as error:
                print(name, error.args[0])
        # Nothing but unpickling: that imports the package, and so registers the methods.
        print(pickle.loads(bytes.fromhex(os.environ["SENT"])).bottleneck_size)
        for name, folder in folders.items():
            print(name, type(PeftConfig.from_pretrained(folder)).__name__)
        """,
        FOLDERS=folders,
        SENT=pickle.dumps(HoulsbyConfig(bottleneck_size=3)).hex(),
    )
    refused = [f"{name} {method().peft_type.value}" for name, method in METHODS.items()]
    loaded = [f"{name} {type(method()).__name__}" for name, method in METHODS.items()]
    assert answers == [*refused, "3", *loaded]
