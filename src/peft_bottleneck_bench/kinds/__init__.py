"""What a task can ask of a model: one file per kind, from examples to tensors and from outputs to predictions."""

from __future__ import annotations

from .base import Context, Encoded, Kind
from .classification import Classification
from .generation import Generation
from .image_classification import ImageClassification
from .multilabel_classification import MultilabelClassification
from .multiple_choice import MultipleChoice
from .ner import Ner
from .regression import Regression
from .relation_extraction import RelationExtraction
from .source_and_target import Summarization, Translation

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Classification(),
        MultilabelClassification(),
        Regression(),
        Ner(),
        RelationExtraction(),
        Translation(),
        Summarization(),
        Generation(),
        MultipleChoice(),
        ImageClassification(),
    )
}

__all__ = ["KINDS", "Context", "Encoded", "Kind"]
