"""Named entities and relations in the forms of annotation tools and public sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from peft_bottleneck_bench.data.loading import Data, load_data
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.tasks import Files, Task

TEXT = "Ann Lee, of New York, left."
TOKENS = ["Ann", "Lee", ",", "of", "New", "York", ",", "left", "."]
TAGS = ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O", "O", "O"]
SPANS = [(0, 7, "PER"), (12, 20, "LOC")]
AS_LABELS = [{"start": start, "end": end, "labels": [name]} for start, end, name in SPANS]
PRODIGY_TOKENS = [
    {"text": token, "start": TEXT.index(token), "end": TEXT.index(token) + len(token), "id": number}
    for number, token in enumerate(["Ann Lee", ",", "of", "New York"])
]


def load(path: Path, kind: str = "ner", **fields: Any) -> Data:
    files = Files(train=str(path), validation=str(path), test=str(path))
    return load_data(Task(name="mine", kind=kind, data=files, **fields), KINDS[kind], {})


def in_json(folder: Path, *rows: Any) -> Path:
    (folder / "rows.json").write_text(json.dumps(rows))
    return folder / "rows.json"


@pytest.mark.parametrize(
    "row",
    [
        {
            "data": {"text": TEXT},
            "annotations": [{"result": [{"value": value, "type": "labels"} for value in AS_LABELS]}],
        },
        {"text": TEXT, "label": AS_LABELS},
        {"text": TEXT, "spans": [{"start": s, "end": e, "label": name} for s, e, name in SPANS]},
        {"text": TEXT, "label": SPANS},
        {"text": TEXT, "labels": SPANS},
        {"text": TEXT, "entities": [{"start_offset": s, "end_offset": e, "label": name} for s, e, name in SPANS]},
        [TEXT, {"entities": SPANS}],
        {
            "text": TEXT,
            "spans": [{"start": 0, "end": 8 - 1, "label": "PER"}, {"start": 11, "end": 20, "label": "LOC"}],
        },
        {"tokens": " ".join(TOKENS), "tags": " ".join(TAGS)},
    ],
    ids=["label-studio", "json-min", "prodigy", "doccano", "doccano-1", "doccano-2", "spacy", "loose-ends", "strings"],
)
def test_entities_by_characters_become_tags(tmp_path: Path, row: Any) -> None:
    data = load(in_json(tmp_path, row))
    assert data.splits["train"][0] == {"tokens": TOKENS, "tags": TAGS}
    assert data.labels == ("LOC", "PER")


def test_the_tokens_of_the_tool_are_kept(tmp_path: Path) -> None:
    row = {"text": TEXT[:20], "tokens": PRODIGY_TOKENS, "spans": [{"start": 0, "end": 7, "label": "PER"}]}
    assert load(in_json(tmp_path, row)).splits["train"][0] == {
        "tokens": ["Ann Lee", ",", "of", "New York"],
        "tags": ["B-PER", "O", "O", "O"],
    }


def test_a_word_is_cut_where_an_entity_ends(tmp_path: Path) -> None:
    row = {"text": "Acme's pre-Brexit", "label": [[0, 4, "ORG"], [11, 17, "EVENT"]]}
    assert load(in_json(tmp_path, row)).splits["train"][0] == {
        "tokens": ["Acme", "'s", "pre-", "Brexit"],
        "tags": ["B-ORG", "O", "O", "B-EVENT"],
    }


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[0, 7, "PER"], [4, 10, "LOC"]], "row 1: the entities 'PER' and 'LOC' overlap at character 4"),
        ([[0, 99, "PER"]], "row 1: entity 'PER' is at 0–99 in a text of 27 characters"),
        ([["0", 7, "PER"]], "row 1: an entity needs a start, an end and a type"),
    ],
)
def test_wrong_spans_are_named(tmp_path: Path, spans: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(in_json(tmp_path, {"text": TEXT, "label": spans}))


SCHEMES = {
    "iob1": ["I-PER", "I-PER", "B-PER", "O", "I-LOC"],
    "iobes": ["B-PER", "E-PER", "S-PER", "O", "S-LOC"],
    "bilou": ["B-PER", "L-PER", "U-PER", "O", "U-LOC"],
    "iob2": ["B-PER", "I-PER", "B-PER", "O", "B-LOC"],
}


@pytest.mark.parametrize(("scheme", "changed"), [("iob1", 2), ("iobes", 3), ("bilou", 3), ("iob2", 0)])
def test_a_scheme_is_converted_and_counted(tmp_path: Path, scheme: str, changed: int) -> None:
    data = load(in_json(tmp_path, {"tokens": list("abcde"), "tags": SCHEMES[scheme]}), scheme=scheme)
    assert data.splits["train"][0]["tags"] == SCHEMES["iob2"]
    assert f"{3 * changed} tags are rewritten from {scheme} to iob2" in data.notes


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        (["S-PER"], "", "tag 0 is 'S-PER': expected O, B-TYPE or I-TYPE; see `scheme`"),
        (["B-"], "", "tag 0 is 'B-': expected O, B-TYPE or I-TYPE"),
        (["S-"], "iobes", "tag 0 is 'S-': in iobes expected O, B-TYPE, S-TYPE, I-TYPE, E-TYPE"),
        (["L-PER"], "iobes", "tag 0 is 'L-PER': in iobes expected"),
    ],
)
def test_a_tag_of_another_scheme_is_named(tmp_path: Path, tags: list[str], scheme: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(in_json(tmp_path, {"tokens": ["a"], "tags": tags}), scheme=scheme)


def test_numbers_have_the_names_that_the_task_or_the_features_give(tmp_path: Path) -> None:
    names = ("O", "B-Chemical", "B-Disease", "I-Disease", "I-Chemical")
    row = {"tokens": ["a", "b", "c"], "tags": [1, 4, 2]}
    data = load(in_json(tmp_path, row), labels=names)
    assert data.labels == ("Chemical", "Disease")
    assert data.splits["train"][0]["tags"] == ["B-Chemical", "I-Chemical", "B-Disease"]
    features = Features({"tokens": Sequence(Value("string")), "tags": Sequence(ClassLabel(names=list(names)))})
    Dataset.from_dict({name: [value] for name, value in row.items()}, features=features).to_parquet(
        tmp_path / "a.parquet"
    )
    assert load(tmp_path / "a.parquet").splits["train"] == data.splits["train"]


def test_conll_is_split_at_spaces_and_tabs_alone(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("New\u00a0York B-LOC\n10\u202f000 O\n\nb  x\tB-LOC\n", encoding="utf-8")
    rows = load(tmp_path / "a.conll").splits["train"]
    assert [row["tokens"] for row in rows] == [["New\u00a0York", "10\u202f000"], ["b  x"]]


def test_conllu_has_columns_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text(
        "# global.columns = ID FORM LEMMA NER\n# text = Ann's here\n1-2\tAnn's\t_\t_\n1\tAnn\tAnn\tB-PER\n"
        "2\t's\tbe\tO\n2.1\t_\t_\t_\n3\there\there\tO\n"
    )
    assert load(tmp_path / "a.conllu").splits["train"][0] == {
        "tokens": ["Ann", "'s", "here"],
        "tags": ["B-PER", "O", "O"],
    }


def test_columns_of_conll_may_have_names(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("Ann NNP B-PER _\nleft VBD O _\n")
    path = str(tmp_path / "a.conll")
    files = Files(train=path, validation=path, test=path, header=("word", "pos", "ner", "rest"))
    data = load_data(
        Task(name="mine", kind="ner", data=files, columns={"tokens": "word", "tags": "ner"}), KINDS["ner"], {}
    )
    assert data.splits["train"][0] == {"tokens": ["Ann", "left"], "tags": ["B-PER", "O"]}


PLACES = {"head": {"start": 0, "end": 7, "type": "PER"}, "tail": {"start": 18, "end": 22, "type": "ORG"}}
WORDS = ["Ann", "Lee", "works", "for", "Acme", "."]
ENTITIES = [{"type": "PER", "start": 0, "end": 2}, {"type": "ORG", "start": 4, "end": 5}]


@pytest.mark.parametrize(
    ("row", "typed"),
    [
        ({"tokens": WORDS, "head": ENTITIES[0], "tail": ENTITIES[1], "relation": "works_for"}, True),
        ({"tokens": WORDS, "head": [0, 2], "tail": [4, 5], "relation": "works_for"}, False),
        ({"tokens": WORDS, "entities": ENTITIES, "relations": [{"type": "works_for", "head": 0, "tail": 1}]}, True),
        (
            {
                "token": WORDS,
                "subj_start": 0,
                "subj_end": 1,
                "obj_start": 4,
                "obj_end": 4,
                "subj_type": "PER",
                "obj_type": "ORG",
                "relation": "works_for",
            },
            True,
        ),
        ({"text": "<e1>Ann Lee</e1> works for <e2>Acme</e2> .", "relation": "works_for"}, False),
        ({"text": "[HEAD]Ann Lee[/HEAD] works for [TAIL]Acme[/TAIL] .", "relation": "works_for"}, False),
    ],
    ids=["tokens", "pairs", "spert", "tacred", "e1-e2", "head-tail"],
)
def test_relations_become_characters(tmp_path: Path, row: dict[str, Any], typed: bool) -> None:
    data = load(in_json(tmp_path, row), "relation_extraction", labels=("works_for", "none"))
    places = {
        name: {key: value for key, value in place.items() if typed or key != "type"} for name, place in PLACES.items()
    }
    assert data.splits["train"][0] == {"text": "Ann Lee works for Acme .", **places, "relation": "works_for"}


def test_documents_of_fewrel_become_relations(tmp_path: Path) -> None:
    met = {"tokens": ["Ann", "Lee", "met", "Bo"], "h": ["ann lee", "Q1", [[0, 1]]], "t": ["bo", "Q2", [[3], [2]]]}
    sued = {**met, "h": ["bo", "Q2", [[3]]], "t": ["ann", "Q1", [[0]]]}
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"P1": [met], "P2": [sued, sued]}))
    task = Task(
        name="pairs", kind="relation_extraction", data=Files(train=str(file), validation=str(file), test=str(file))
    )
    train = load_data(task, KINDS["relation_extraction"], {}).splits["train"]
    assert [example["relation"] for example in train] == ["P1", "P2", "P2"]
    assert train[0] == {
        "text": "Ann Lee met Bo",
        "head": {"start": 0, "end": 7},
        "tail": {"start": 12, "end": 14},
        "relation": "P1",
    }


def test_a_relation_outside_the_tokens_is_named(tmp_path: Path) -> None:
    row = {"tokens": WORDS, "head": [0, 9], "tail": [4, 5], "relation": "x"}
    with pytest.raises(UserError, match="row 1: 'head' has the tokens 0 to 9 of 6"):
        load(in_json(tmp_path, row), "relation_extraction")


def test_the_notes_count_entities_and_know_pairs_of_one_text_apart(tmp_path: Path) -> None:
    entities = {"tokens": list("abc"), "tags": ["B-PER", "I-PER", "B-LOC"]}
    assert load(in_json(tmp_path, entities)).notes[0] == "2 labels in train: LOC 1, PER 1"
    pairs = [
        {"tokens": WORDS, "head": head, "tail": [4, 5], "relation": str(head)} for head in ([0, 2], [2, 3], [2, 3])
    ]
    notes = load(in_json(tmp_path, *pairs), "relation_extraction").notes
    assert "examples of train with the text of another one of it: 1" in notes
