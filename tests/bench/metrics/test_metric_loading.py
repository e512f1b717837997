"""Loading by name, and the errors for input that no metric can take."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import evaluate
import pytest

from peft_bottleneck_bench import metrics
from peft_bottleneck_bench.errors import UserError

SOUND: dict[str, Any] = {
    "classification": "yes",
    "regression": 1.5,
    "seqeval": ["B-PER", "O"],
    "relation_extraction": "founded",
    "semeval2010_task8": "Other",
    "translation": "ein Haus",
    "summarization": "a house",
    "multilabel": ["a", "b"],
    "multiple_choice": 1,
    "answer": "a house",
    "number": "so 5",
    "choice": "a",
}
WRONG: dict[str, tuple[Any, str]] = {
    "classification": (None, "expected a label"),
    "regression": (float("nan"), "expected a finite number"),
    "seqeval": (["B-PER", "X-PER"], "unknown tag 'X-PER' at position 1: choose from O, B-TYPE, I-TYPE"),
    "relation_extraction": (1.5, "expected a label"),
    "semeval2010_task8": ("Cause-Effect", "unknown relation: choose from Cause-Effect(e1,e2), "),
    "translation": (7, "expected text"),
    "summarization": (None, "expected text"),
    "multilabel": ("a", "expected a list of labels"),
    "multiple_choice": (1.5, "expected"),
    "answer": (None, "expected text"),
    "number": (5, "expected text"),
    "choice": (None, "expected text"),
}
SAID: dict[str, Any] = {"multiple_choice": [1, 0]}  # where predictions are of another type
OPTIONS: dict[str, Any] = {"choice": {"pattern": "[a-d]"}, "classification": {"positive": "yes"}}


def test_every_metric_is_covered_here() -> None:
    assert SOUND.keys() == WRONG.keys() == metrics.METRICS.keys()


@pytest.mark.parametrize("name", SOUND)
def test_metric_is_an_evaluate_metric_that_its_name_and_options_make_again(name: str) -> None:
    metric = metrics.load(name, **OPTIONS.get(name, {}))
    assert isinstance(metric, evaluate.Metric)
    assert metric.name == name
    again = metrics.load(name, **metric.options)
    assert (again.signature, again.main) == (metric.signature, metric.main)
    assert metric.main in metric.compute(references=[SOUND[name]] * 2, predictions=[SAID.get(name, SOUND[name])] * 2)


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("call", ["compute", "statistics"])
def test_ill_formed_input_is_named(name: str, call: str) -> None:
    metric, sound, (wrong, problem) = metrics.load(name, **OPTIONS.get(name, {})), SOUND[name], WRONG[name]
    said = SAID.get(name, sound)

    def use(references: list[Any], predictions: list[Any]) -> None:
        getattr(metric, call)(references=references, predictions=predictions)

    with pytest.raises(ValueError, match=f"^{name}: 2 references but 1 predictions$"):
        use([sound] * 2, [said])
    with pytest.raises(ValueError, match=f"^{name}: there are no examples to score$"):
        use([], [])
    with pytest.raises(ValueError, match=rf"^{name}: prediction 1 is .*{re.escape(problem)}"):
        use([sound] * 2, [said, wrong])
    with pytest.raises(ValueError, match=rf"^{name}: reference 0 is .*{re.escape(problem)}"):
        use([wrong], [said])


def test_tags_of_unequal_length_are_named() -> None:
    with pytest.raises(ValueError, match=r"^seqeval: example 1 has 2 reference tags but 1 predicted$"):
        metrics.load("seqeval").compute(references=[["O"], ["O", "O"]], predictions=[["O"], ["O"]])


@pytest.mark.parametrize(
    ("name", "score", "value"), [("classification", "matthews_correlation", "yes"), ("regression", "pearson", 2.0)]
)
def test_input_without_information_scores_zero(name: str, score: str, value: Any) -> None:
    metric = metrics.load(name, main=score)
    assert metric.compute(references=[value] * 3, predictions=[value] * 3)[score] == 0.0
    assert metric.score(metric.statistics([value] * 3, [value] * 3).sum(0)) == 0.0


def test_relations_without_any_positive_score_zero() -> None:
    metric = metrics.load("relation_extraction", negative_label="none")
    assert metric.compute(references=["none"], predictions=["none"])["micro_f1"] == 0.0
    assert metric.score(metric.statistics(["none"], ["none"]).sum(0)) == 0.0


def test_smaller_is_better_for_errors_alone() -> None:
    directions = {
        (name, score.name): metrics.load(name, main=score.name, **OPTIONS.get(name, {})).greater_is_better
        for name, metric in metrics.METRICS.items()
        for score in metric.scores
    }
    assert [key for key, greater in directions.items() if not greater] == [
        ("regression", "mse"),
        ("translation", "ter"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "clasification", "main": "x"}, "'clasification' is not one of the package's .*'classification'"),
        ({"name": "classification", "main": "acuracy"}, "no score 'acuracy': did you mean 'accuracy'"),
        ({"name": "translation", "tokenize": "14a"}, "unknown tokenizer '14a': did you mean '13a'"),
        ({"name": "summarization", "tokenizer": "unicde"}, "unknown tokenizer 'unicde': did you mean 'unicode'"),
        (
            {"name": "translation", "tokenize": "ja-mecab"},
            r"tokenizer 'ja-mecab' does not work here: .*sacrebleu\[ja\]",
        ),
        ({"name": "classification", "main": "recall"}, "recall is of one label: name it.*macro_recall"),
        ({"name": "choice"}, "it needs a pattern"),
        ({"name": "choice", "pattern": "[a-"}, "pattern '\\[a-': unterminated"),
        ({"name": "summarization", "stemmer": False}, "unknown option 'stemmer': choose from main, tokenizer"),
        ({"name": "summarization", "tokeniser": "unicode"}, "unknown option 'tokeniser': did you mean 'tokenizer'"),
        ({"name": "translation", "tokenize": 5}, "'translation': tokenize: expected text, found 5"),
        ({"name": "translation", "tokenize": ["13a"]}, r"tokenize: expected text, found \['13a'\]"),
        ({"name": "answer", "main": 3}, "'answer': main: expected text or null, found 3"),
        ({"name": "choice", "pattern": None}, "'choice': pattern: expected text, found None"),
    ],
)
def test_wrong_names_are_answered_with_choices(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        metrics.load(**arguments)


@pytest.mark.parametrize("tokenize", ["flores200", "flores101"])
def test_a_tokenizer_that_cannot_be_downloaded_is_one_line(tokenize: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """sacreBLEU leaves Python where the download fails."""

    def fails(*_: object, **__: object) -> None:
        raise SystemExit("no network")

    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.download_file", fails)
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.SACREBLEU_DIR", "/nowhere")
    with pytest.raises(UserError, match=f"tokenizer '{tokenize}' does not work here: it needs sentencepiece, and a"):
        metrics.load("translation", tokenize=tokenize)


def test_a_hub_metric_works_like_the_packages_own(tmp_path: Any) -> None:
    module = tmp_path / "share_of_a" / "share_of_a.py"  # evaluate loads a directory as it loads a hub name
    module.parent.mkdir()
    module.write_text(
        "import datasets\nimport evaluate\n"
        "class ShareOfA(evaluate.Metric):\n"
        "    def _info(self):\n"
        "        text = datasets.Value('string')\n"
        "        return evaluate.MetricInfo(description='', citation='', inputs_description='',\n"
        "            features=datasets.Features({'references': text, 'predictions': text}))\n"
        "    def _compute(self, references, predictions):\n"
        "        return {'share': predictions.count('a') / len(predictions), 'note': 'text is no score'}\n"
    )
    metric = metrics.load(str(module.parent), main="share", greater_is_better=False)
    assert metric.compute(references=["a", "b"], predictions=["a", "b"]) == {"share": 0.5}
    assert not metric.greater_is_better
    with pytest.raises(UserError, match="say which of its scores is the main one"):
        metrics.load(str(module.parent))
    with pytest.raises(UserError, match="gave no score 'shares': did you mean 'share'"):
        metrics.load(str(module.parent), main="shares").compute(references=["a"], predictions=["a"])


def test_metrics_open_no_connection() -> None:
    code = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('a metric opened a connection')\n"
        "socket.socket.connect = refuse\n"
        "from peft_bottleneck_bench import metrics\n"
        "for name in metrics.METRICS: metrics.load(name, **{'choice': {'pattern': 'a'}}.get(name, {})).signature\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_empty_reference_is_a_question_without_an_answer() -> None:
    scores = metrics.load("answer").compute(references=["", "", "a house"], predictions=["", "Rome", ""])
    assert scores == {"exact_match": 1 / 3, "f1": 1 / 3}
    for name in ("translation", "summarization", "number", "choice"):
        with pytest.raises(
            ValueError, match="reference 0 is .*it is empty; exact_match and f1 take questions without"
        ):
            metrics.load(name, **OPTIONS.get(name, {})).compute(references=[""], predictions=["Rome"])
