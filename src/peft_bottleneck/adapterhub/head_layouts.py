"""Prediction heads of AdapterHub's library (`adapters` 1.3.0), and the model class of transformers that computes each.

The library's flexible heads are rows of linear maps with an activation, and perhaps a norm, between them. A class of
transformers has one such row as its head, and each row below says where. The library has the same knowledge in
`head_utils.py`; the two-layer heads on BERT's and ALBERT's first token are those models' pooler and classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# The class that transformers loads for a head, and how the names of such classes end.
AUTO_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "classification": "AutoModelForSequenceClassification",
        "multilabel_classification": "AutoModelForSequenceClassification",
        "tagging": "AutoModelForTokenClassification",
        "multiple_choice": "AutoModelForMultipleChoice",
        "question_answering": "AutoModelForQuestionAnswering",
        "image_classification": "AutoModelForImageClassification",
        "masked_lm": "AutoModelForMaskedLM",
        "causal_lm": "AutoModelForCausalLM",
        "seq2seq_lm": "AutoModelForSeq2SeqLM",
    }
)
LANGUAGE_MODELS = ("masked_lm", "causal_lm", "seq2seq_lm")


@dataclass(frozen=True)
class HeadLayout:
    """The head of one class of transformers, in some families.

    Attributes:
        classes: how the class's name ends.
        kinds: what the library calls such a head.
        families: `config.model_type`.
        modules: its maps and norms, in the order of computing.
        activation: what comes after all maps but the last; a name with a dot is a field of the model's configuration.
        use_pooler: whether it reads what the base model's pooler writes.
        norm: whether the module before the last map is a norm.
        bias: whether the last map has a bias.
        scaled: whether the library multiplies what this head reads by `d_model^-0.5`, as transformers does before
            the output embeddings only, where these are tied to the input's.
    """

    classes: tuple[str, ...]
    kinds: tuple[str, ...]
    families: tuple[str, ...]
    modules: tuple[str, ...]
    activation: str | None = None
    use_pooler: bool = False
    norm: bool = False
    bias: bool = True
    scaled: bool = False

    @property
    def layers(self) -> int:
        """The number of maps."""
        return len(self.modules) - self.norm


_SEQUENCE = (("ForSequenceClassification",), ("classification", "multilabel_classification"))
_IMAGE = (("ForImageClassification",), ("image_classification",))
_CHOICE = (("ForMultipleChoice",), ("multiple_choice",))
_TOKEN = (("ForTokenClassification",), ("tagging",))
_ANSWER = (("ForQuestionAnswering",), ("question_answering",))
# Of encoders both language models have one and the same head.
_LANGUAGE = (("ForMaskedLM", "ForCausalLM", "LMHeadModel", "GenerationDecoder"), ("masked_lm", "causal_lm"))
_SEQ2SEQ = (("ForConditionalGeneration",), ("seq2seq_lm",))

_ROBERTA = ("roberta", "xlm-roberta")
_DEBERTA = ("deberta", "deberta-v2")
_BART = ("bart", "mbart", "plbart")
_T5 = ("t5", "mt5")
_DECODERS = ("gpt2", "gptj", "llama", "mistral")
_BERT_LM = ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder")

LAYOUTS: tuple[HeadLayout, ...] = (
    HeadLayout(*_SEQUENCE, ("bert",), ("pooler.dense", "classifier"), "tanh"),
    HeadLayout(*_SEQUENCE, ("albert",), ("pooler", "classifier"), "tanh"),
    HeadLayout(*_SEQUENCE, ("bert", "albert"), ("classifier",), use_pooler=True),
    HeadLayout(*_SEQUENCE, _ROBERTA, ("classifier.dense", "classifier.out_proj"), "tanh"),
    HeadLayout(*_SEQUENCE, ("electra",), ("classifier.dense", "classifier.out_proj"), "gelu"),
    HeadLayout(*_SEQUENCE, _DEBERTA, ("pooler.dense", "classifier"), "config.pooler_hidden_act"),
    HeadLayout(*_SEQUENCE, ("distilbert",), ("pre_classifier", "classifier"), "relu"),
    HeadLayout(*_SEQUENCE, (*_BART, *_T5), ("classification_head.dense", "classification_head.out_proj"), "tanh"),
    HeadLayout(*_SEQUENCE, _DECODERS, ("score",), bias=False),
    HeadLayout(*_IMAGE, ("vit",), ("classifier",)),
    HeadLayout(*_IMAGE, ("beit",), ("classifier",), use_pooler=True),
    HeadLayout(*_CHOICE, ("bert", *_ROBERTA), ("pooler.dense", "classifier"), "tanh"),
    HeadLayout(*_CHOICE, ("albert",), ("pooler", "classifier"), "tanh"),
    HeadLayout(*_CHOICE, ("bert", "albert", *_ROBERTA), ("classifier",), use_pooler=True),
    HeadLayout(*_CHOICE, ("electra",), ("sequence_summary.summary", "classifier"), "config.summary_activation"),
    HeadLayout(*_CHOICE, _DEBERTA, ("pooler.dense", "classifier"), "config.pooler_hidden_act"),
    HeadLayout(*_CHOICE, ("distilbert",), ("pre_classifier", "classifier"), "relu"),
    HeadLayout(*_TOKEN, ("albert", "bert", "distilbert", "electra", "gpt2", *_DEBERTA, *_ROBERTA), ("classifier",)),
    HeadLayout(*_TOKEN, ("llama", "mistral"), ("score",)),
    HeadLayout(
        *_ANSWER,
        ("albert", "bert", "distilbert", "electra", "mt5", *_BART, *_DEBERTA, *_DECODERS, *_ROBERTA),
        ("qa_outputs",),
    ),
    HeadLayout(*_ANSWER, ("t5",), ("qa_outputs",), scaled=True),
    HeadLayout(*_LANGUAGE, ("bert", *_DEBERTA), _BERT_LM, "config.hidden_act", norm=True),
    HeadLayout(
        *_LANGUAGE,
        ("albert",),
        ("predictions.dense", "predictions.LayerNorm", "predictions.decoder"),
        "config.hidden_act",
        norm=True,
    ),
    HeadLayout(*_LANGUAGE, _ROBERTA, ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder"), "gelu", norm=True),
    HeadLayout(
        *_LANGUAGE,
        ("distilbert",),
        ("vocab_transform", "vocab_layer_norm", "vocab_projector"),
        "config.activation",
        norm=True,
    ),
    HeadLayout(
        *_LANGUAGE,
        ("electra",),
        ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head"),
        "gelu",
        norm=True,
    ),
    HeadLayout(*_LANGUAGE, ("bert-generation",), ("lm_head.decoder",)),
    HeadLayout(*_LANGUAGE, ("gpt2", "llama", "mistral"), ("lm_head",), bias=False),
    HeadLayout(*_LANGUAGE, ("gptj",), ("lm_head",)),
    HeadLayout(*_SEQ2SEQ, (*_BART, *_T5), ("lm_head",), bias=False),
    HeadLayout(*_SEQ2SEQ, ("whisper",), ("proj_out",), bias=False),
)
