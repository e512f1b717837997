"""The relation between two marked entities of a text."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel

from ..errors import UserError
from .base import Context, Encoded, Example
from .classification import OneLabel, label_name, label_options
from .marked_model import MarkedModel

ENTITIES = ("head", "tail")


class RelationExtraction(OneLabel):
    """Columns `text`, `head` and `tail` (each with character offsets `start` and `end`, optionally a `type`), and
    `relation`.

    Both entities are put between markers, `[HEAD] … [/HEAD]` and `[TAIL] … [/TAIL]`, or `[HEAD:PER]` where the markers
    are typed (Zhou and Chen 2022, arXiv:2102.01373). The relation is predicted from the states at the two markers
    (Baldini Soares et al. 2019, arXiv:1906.03158). A text longer than `max_length` keeps the tokens nearest to them.
    """

    name = "relation_extraction"
    columns = ("text", "head", "tail", "relation")
    metrics = ("relation_extraction", "semeval2010_task8")
    label_column = "relation"
    settings = (*OneLabel.settings, "negative_label", "markers")
    head_class = "AutoModel"
    peft_task = "SEQ_CLS"

    def example(self, row: Example) -> Example:
        text = row["text"]
        if not isinstance(text, str):
            raise ValueError(f"'text' must be text, found {text!r}")
        entities = {name: _entity(name, row[name], text) for name in ENTITIES}
        head, tail = (entities[name] for name in ENTITIES)
        if head["start"] < tail["end"] and tail["start"] < head["end"]:
            raise ValueError(
                f"'head' ({head['start']}–{head['end']}) and 'tail' ({tail['start']}–{tail['end']}) overlap"
            )
        return {"text": text, **entities, "relation": label_name(row, "relation")}

    def input_text(self, example: Example) -> str:
        return marked_text(example, marker_words([], typed=False))

    def check_model(self, model: PreTrainedModel) -> None:
        super().check_model(model)
        if not hasattr(model.config.get_text_config(), "vocab_size") or hasattr(model.config, "vision_config"):
            raise UserError(
                f"model '{model.name}' does not fit {self.name}: its architecture '{model.config.model_type}' "
                "reads no text alone"
            )

    def load(self, context: Context) -> PreTrainedModel:
        return self._marked(context.model.load("AutoModel"), context)

    def skeleton(self, context: Context) -> PreTrainedModel:
        return self._marked(context.model.skeleton("AutoModel"), context)

    def _marked(self, base: PreTrainedModel, context: Context) -> MarkedModel:
        first_marker = len(context.model.tokenizer)
        base.config.update(label_options(context.labels))
        return MarkedModel(base, labels=len(context.labels), first_marker=first_marker, markers=len(context.markers))

    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        tokenizer = context.model.tokenizer_with(context.markers)
        markers = tokenizer.convert_tokens_to_ids(list(context.markers))
        opening = {marker for marker, word in zip(markers, context.markers, strict=True) if not word.startswith("[/")}
        # A decoder-only model has read an entity only at its end.
        speaking = set(markers) - opening if context.model.is_causal else opening
        heads = {marker for marker, word in zip(markers, context.markers, strict=True) if "HEAD" in word}
        encoded = dict(tokenizer([marked_text(example, context.markers) for example in examples]))
        cut = 0
        places = []
        for row, ids in enumerate(encoded["input_ids"]):
            if len(ids) > context.max_length:
                cut += 1
                kept = _nearest(ids, set(markers), set(tokenizer.all_special_ids) - set(markers), context.max_length)
                for values in encoded.values():
                    values[row] = [values[row][position] for position in kept]
                ids = encoded["input_ids"][row]
            found = [position for position, token in enumerate(ids) if token in speaking]
            places.append(sorted(found, key=lambda position: ids[position] not in heads))
        labels = self.label_numbers(examples, context)
        return Encoded({**encoded, "marker_places": places, "labels": labels}, range(len(examples)), cut)

    def parts(self, example: Example) -> dict[str, bool]:
        return {f"{name}.type": "type" in example[name] for name in ENTITIES}


def marker_words(examples: Sequence[Example], *, typed: bool) -> tuple[str, ...]:
    """The markers for `examples`: opening and closing, untyped, and with every type that occurs if `typed`."""
    types = {example[name].get("type") for example in examples for name in ENTITIES} if typed else set()
    names = [name.upper() for name in ENTITIES]
    names += [f"{name}:{type_}" for type_ in sorted(types - {None}) for name in names[:2]]
    return tuple(word for name in names for word in (f"[{name}]", f"[/{name}]"))


def marked_text(example: Example, markers: Sequence[str]) -> str:
    """The text with its entities between markers; an entity of a type without markers of its own gets the untyped."""
    pieces, place = [], 0
    for name in sorted(ENTITIES, key=lambda name: int(example[name]["start"])):
        entity = example[name]
        word = f"{name.upper()}:{entity.get('type')}"
        word = word if f"[{word}]" in markers else name.upper()
        start, end = entity["start"], entity["end"]
        text = example["text"]
        pieces += [_plain(text[place:start], markers), f"[{word}]", _plain(text[start:end], markers), f"[/{word}]"]
        place = end
    return "".join([*pieces, _plain(example["text"][place:], markers)])


def _plain(text: str, markers: Sequence[str]) -> str:
    """`text` without words that look like a marker."""
    for marker in markers:
        text = text.replace(marker, f"{marker[0]} {marker[1:]}")
    return text


def _entity(name: str, entity: object, text: str) -> Example:
    if not isinstance(entity, dict) or not all(isinstance(entity.get(key), int) for key in ("start", "end")):
        raise ValueError(f"'{name}' must hold the offsets 'start' and 'end', found {entity!r}")
    start, end = entity["start"], entity["end"]
    if not 0 <= start < end <= len(text):
        raise ValueError(f"'{name}' is at {start}–{end} in a text of {len(text)} characters")
    if "text" in entity and entity["text"] != text[start:end]:
        raise ValueError(f"'{name}' is {entity['text']!r}, but the text has {text[start:end]!r} at {start}–{end}")
    return {key: entity[key] for key in ("start", "end", "type") if entity.get(key) is not None}


def _nearest(ids: Sequence[int], markers: set[int], special: set[int], count: int) -> list[int]:
    """The `count` positions nearest to a marker, special tokens of the model first, in order."""
    places = [position for position, token in enumerate(ids) if token in markers]
    distance = [
        -1 if token in special else min(abs(position - place) for place in places)
        for position, token in enumerate(ids)
    ]
    return sorted(sorted(range(len(ids)), key=lambda position: (distance[position], position))[:count])
