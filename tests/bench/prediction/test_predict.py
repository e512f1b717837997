"""New text through a trained adapter: the same answers as in its run, and what is said to wrong input."""

from __future__ import annotations

import io
import json
import math
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_task import make_tokenizer, save_model, write_rows
from transformers import PreTrainedTokenizerFast
from versions import prefixes_work

from peft_bottleneck_bench import records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.tasks import load_task
from peft_bottleneck_bench.training.execute import execute
from peft_bottleneck_bench.training.features import make_features

Configure = Callable[..., Path]
TASKS = ("tiny_sentiment", "tiny_similarity", "tiny_ner", "tiny_relations", "tiny_translation", "tiny_summaries")
OTHER_BASE = "note: the base has other weights than the one that was trained on"
LIMITS = {"train": 12, "validation": 4, "test": 9}


def knowing(files: Any) -> PreTrainedTokenizerFast:
    """A tokenizer that knows every word of the train split, with an end token."""
    words = re.findall(r"\w+|[^\w\s]+", Path(files.train).read_text(encoding="utf-8"))  # as the tokenizer splits
    backend = make_tokenizer(sorted(set(words))).backend_tokenizer
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", eos_token="[SEP]", model_max_length=64
    )


def base_for(task: str, folder: Path) -> Path:
    tokenizer = knowing(load_task(task).data)
    if task == "tiny_translation":
        return save_model("gpt2", folder, tokenizer, n_embd=32, n_layer=2, n_head=2, n_positions=96)
    if task == "tiny_summaries":
        sizes = dict(d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
        ends = dict(decoder_start_token_id=0, pad_token_id=0, eos_token_id=3)
        return save_model("t5", folder, tokenizer, **sizes, **ends)
    return save_model("bert", folder, tokenizer, max_position_embeddings=64)


def trained(configure: Configure, *overrides: str, **changes: Any) -> Run:
    (run,) = plan(load_configuration(configure(**changes), overrides))
    execute(run, make_features(run), lambda step, steps: None)
    return run


@pytest.fixture
def words(configure: Configure) -> Run:
    """A classifier of the tiny words."""
    return trained(configure, methods=["pfeiffer"])


def recorded(run: Run) -> list[Any]:
    return [row.prediction for row in records.read_predictions(records.predictions_path(run.record_path))]


def predicted(run: Run, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Any]:
    assert main(["predict", str(run.adapter_path), *arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def same(one: Any, other: Any) -> bool:
    return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-5) if isinstance(one, float) else bool(one == other)


@pytest.mark.parametrize("task", TASKS)
def test_predictions_are_those_of_the_run(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    run = trained(
        configure,
        f"limits={json.dumps(LIMITS)}",
        "training.num_train_epochs=1",
        "training.generation_max_length=6",
        model=str(base_for(task, tmp_path / "base")),
        tasks=[task],
        methods=["houlsby"],
    )
    target = run.kind.columns[-1]
    rows = [{name: row[name] for name in row if name != target} for row in run.data.splits["test"]]
    answers = predicted(run, capsys, "--file", str(write_rows(tmp_path / "new.jsonl", rows)), "--batch-size", "4")
    assert len(answers) == LIMITS["test"]
    for row, answer, expected in zip(rows, answers, recorded(run), strict=True):
        assert same(answer[target], expected)
        assert {name: answer[name] for name in row} == row
        if "probabilities" in answer:
            assert max(answer["probabilities"], key=answer["probabilities"].get) == expected
            assert math.isclose(sum(answer["probabilities"].values()), 1, abs_tol=1e-5)


@pytest.mark.parametrize(
    "method",
    [
        *("lora", "ia3", "bias_tuning", "norm_tuning", "full", "head_only", "untuned"),
        pytest.param("prefix_tuning", marks=prefixes_work),
    ],
)
def test_whatever_a_run_saves_can_predict(
    configure: Configure, files: dict[str, str], capsys: pytest.CaptureFixture[str], method: str
) -> None:
    run = trained(configure, "training.num_train_epochs=1", methods=[method])
    assert [row["label"] for row in predicted(run, capsys, "--file", files["test"])] == recorded(run)


def test_lines_for_people(words: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(words.adapter_path), "a great day", "a\tpoor\nfilm"]) == 0
    out, err = capsys.readouterr()
    (label, probability, text), (_, _, other) = (line.split("\t") for line in out.splitlines())
    assert label in words.data.labels
    assert 0.5 <= float(probability) <= 1
    assert (text, other, err) == ("a great day", "a poor film", "")


def test_lines_and_rows_may_be_mixed_in_what_is_piped(
    words: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = '\ufeffa great day\r\n\n{"text": "a great day", "label": "?", "more": 1}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped.encode())))
    first, empty, second = predicted(words, capsys, "--file", "-")
    assert first == second
    assert first["text"] == "a great day"
    assert empty["text"] == ""


def test_each_line_of_text_has_one_line_of_output(
    words: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["", "good", "", "", "a bad day", "", ""]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("".join(f"{line}\n" for line in lines).encode())))
    assert [row["text"] for row in predicted(words, capsys, "--file", "-")] == lines


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.txt", "-"])
def test_an_array_of_rows_is_read_as_a_run_reads_it(
    words: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    content = json.dumps([{"text": "good"}, {"text": ""}, {"text": "a bad day"}], indent=1)
    (tmp_path / name).write_text(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    file = name if name == "-" else str(tmp_path / name)
    assert [row["text"] for row in predicted(words, capsys, "--file", file)] == ["good", "", "a bad day"]


def test_empty_lines_between_objects_are_passed_over(
    words: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.jsonl").write_text('\n{"text": "good"}\n\n{"text": "bad"}\n\n')
    answers = predicted(words, capsys, "--file", str(tmp_path / "new.jsonl"))
    assert [row["text"] for row in answers] == ["good", "bad"]


def test_a_bad_line_loses_no_prediction_before_it(
    words: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_rows(tmp_path / "new.jsonl", [{"text": "good"}, {"text": "bad"}, {"words": "fine"}, {"text": "a"}])
    assert main(["predict", str(words.adapter_path), "--file", str(file)]) == 2
    out, err = capsys.readouterr()
    assert [line.split("\t")[2] for line in out.splitlines()] == ["good", "bad"]
    assert err == f"error: {file}, line 3: no column 'text' (classification needs it), the row has 'words'\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "{file}: there is nothing to predict in it"),
        ('{"text": ', "{file}, line 1: not valid JSON: Expecting value at column 10"),
        ('{"text": 5}', "{file}, line 1: 'text' must be text, found 5"),
        (b"\xff\n", "{file}, line 1: not UTF-8 text"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    words: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | bytes, message: str
) -> None:
    file = tmp_path / "new.txt"
    file.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())
    assert main(["predict", str(words.adapter_path), "--file", str(file)]) == 2
    assert capsys.readouterr().err == f"error: {message.format(file=file)}\n"


def test_a_folder_above_one_adapter_is_taken_for_it(words: Run, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for folder in (words.adapter_path, words.adapter_path.parent):
        assert main(["predict", str(folder), "good", "--json"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_wrong_arguments_are_one_line(
    words: Run, bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = words.adapter_path
    for name in ("half", "two/a", "two/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
    for name in ("results", "results-adapters"):
        (tmp_path / name).mkdir(exist_ok=True)
    smaller = save_model("bert", tmp_path / "smaller", words.model.tokenizer, hidden_size=16)
    for arguments, message in (
        ([tmp_path / "no"], f"{tmp_path / 'no'}: no such folder"),
        ([bert], f"{bert}: not saved by a run: it has no run.json"),
        (
            [tmp_path / "two"],
            f"{tmp_path / 'two'}: not saved by a run: it has no run.json; choose one of those below it: "
            f"{tmp_path / 'two' / 'a'}, {tmp_path / 'two' / 'b'}",
        ),
        (
            [tmp_path / "results"],
            f"{tmp_path / 'results'}: not saved by a run: it has no run.json; adapters of its runs are below "
            f"{tmp_path / 'results-adapters'}",
        ),
        (
            [tmp_path / "half"],
            f"{tmp_path / 'half'}/run.json: it lacks 'kind': another version of peft-bottleneck saved it",
        ),
        ([folder, "--batch-size", 0], "--batch-size: 0 is not above 0"),
        ([folder, "--file", tmp_path / "no.txt"], f"{tmp_path / 'no.txt'}: no such file"),
        ([folder, "--file", tmp_path], f"{tmp_path}: a folder, not a file"),
        ([folder, "--model", smaller], f"{folder} does not fit classification on models of type 'bert': "),
    ):
        text = ["good"] if "--file" not in arguments else []
        assert main(["predict", *map(str, [arguments[0], *text, *arguments[1:]])]) == 2
        *notes, error = capsys.readouterr().err.splitlines()
        assert error.startswith(f"error: {message}")
        assert notes == ([OTHER_BASE] * ("--model" in arguments))
    for both in ([], ["good", "--file", "-"]):
        assert main(["predict", str(folder), *both]) == 2
        assert capsys.readouterr().err.startswith("error: give either TEXT or --file")


def test_columns_have_the_names_of_the_task(
    configure: Configure, files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in files.values():
        rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
        pairs = [{"a": {"b": row["text"]}, "text_pair": "a fine day", "label": row["label"]} for row in rows]
        write_rows(Path(file), pairs)
    task = {"name": "pairs", "kind": "classification", "data": files, "columns": {"text": "a.b"}}
    run = trained(configure, "training.num_train_epochs=1", tasks=[task], methods=["head_only"])
    assert [row["label"] for row in predicted(run, capsys, "--file", files["test"])] == recorded(run)
    (pair,) = predicted(run, capsys, "good\ta day")
    assert pair["text_pair"] == "a day"
    assert predicted(run, capsys, json.dumps({"a": {"b": "good"}, "text_pair": "a day"})) == [pair]
    assert main(["predict", str(run.adapter_path), '{"a": ']) == 2
    assert capsys.readouterr().err.startswith("error: text 1: not valid JSON: ")
    assert main(["predict", str(run.adapter_path), "good"]) == 2
    assert capsys.readouterr().err == "error: text 1: expected two texts with a tab between them, found 1\n"


def test_a_pipe_with_a_name_is_read(configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a shell makes it of `--file <(some-command)`."""
    run = trained(configure, "training.num_train_epochs=1", methods=["head_only"])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("good\na bad day\n",))
    writer.start()
    rows = predicted(run, capsys, "--file", str(pipe))
    writer.join()
    assert [row["text"] for row in rows] == ["good", "a bad day"]
