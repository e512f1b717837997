"""The configurations of the committed leaderboard: the same effort for every method, and each set once."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_bottleneck_bench import Configuration, load_configuration
from peft_bottleneck_bench.tasks import Task, load_task

FOLDER = Path(__file__).parents[3] / "configs" / "leaderboard"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
ENCODER = {"sst2", "semeval2010_task8", "sick_r", "bc5cdr", "conll04", "banking77"}
DECODER = {"multi30k_en_de", "arc_easy", "scitldr_a"}
ROW = {
    "instruction": "Please choose the correct answer to the question: Which is a metal?\n\n"
    "Answer1: wood Answer2: iron, an ore Answer3: gas\n\nAnswer format: answer1/answer2/answer3",
    "input": "",
    "output": "the correct answer is answer2",
    "answer": "answer2",
}


@pytest.fixture(scope="module")
def read() -> dict[str, Configuration]:
    return {name: load_configuration(path) for name, path in FILES.items()}


def names(read: dict[str, Configuration], *files: str) -> list[str]:
    return [task.name for file in files for task in read[file].tasks]


def test_every_set_is_on_one_board_of_a_model(read: dict[str, Configuration]) -> None:
    for files, expected in (
        (("encoder", "encoder_77_intents"), ENCODER),
        (("decoder", "decoder_summaries"), DECODER),
    ):
        assert sorted(names(read, *files)) == sorted(expected)
    assert names(read, "encoder_half_percent") == names(read, "encoder_two_percent")
    assert {*names(read, "encoder_half_percent")} <= ENCODER


@pytest.mark.parametrize("name", FILES)
def test_every_method_has_the_same_effort(name: str, read: dict[str, Configuration]) -> None:
    configuration = read[name]
    searched = [method for method in configuration.methods if method.label != "untuned"]
    assert configuration.search is not None
    assert configuration.search.trials == 4
    rates = [method.space["learning_rate"] for method in searched]
    assert all(isinstance(values, tuple) and len({*values}) == 4 for values in rates)
    assert len(configuration.seeds) == (3 if name.startswith("decoder") else 5)


@pytest.fixture(scope="module")
def arc_easy() -> Task:
    return load_task("arc_easy", [FOLDER / "tasks"])


def test_a_text_with_a_question_becomes_a_question_with_choices(arc_easy: Task) -> None:
    assert arc_easy.convert is not None
    assert list(arc_easy.convert(ROW)) == [
        {"question": "Which is a metal?", "choices": ["wood", "iron, an ore", "gas"], "answer": 1}
    ]


def test_another_text_is_refused(arc_easy: Task) -> None:
    assert arc_easy.convert is not None
    with pytest.raises(ValueError, match="'instruction' is no question with answers: 'Tell me a story'"):
        list(arc_easy.convert({**ROW, "instruction": "Tell me a story"}))
