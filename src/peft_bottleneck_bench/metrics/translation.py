"""BLEU, chrF and TER, by sacreBLEU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF, TER

from ..errors import UserError, one_line, suggest
from .base import Answers, FloatArray, Score, safe_divide
from .texts import TextMetric, all_of, streams
from .words import script_of, with_spaces

_ORDERS = 4  # of BLEU's n-grams
# The packages that a tokenizer needs beside sacreBLEU.
_EXTRAS = {"ja-mecab": '"sacrebleu[ja]"', "ko-mecab": '"sacrebleu[ko]"'}
_OF_SCRIPT = {"chinese": "zh", "japanese": "char", "unspaced": "char"}


class Translation(TextMetric):
    """One text per example, detokenised.

    Args:
        tokenize: sacreBLEU's tokenizer for BLEU. A task without it gets the one for the script of its references: `zh`
            for Chinese, `char` for Japanese, Thai and others without spaces (published scores of Japanese use
            `ja-mecab`), else `13a`.

    - bleu: corpus BLEU with exponential smoothing (Post 2018).
    - chrf: corpus chrF2 over character 6-grams (Popović 2015); it needs no words.
    - ter: edits per hundred words of the reference (Snover et al. 2006); where a script has no spaces, per hundred
      characters.

    BLEU and chrF in [0, 100].
    """

    scores = (Score("bleu", best=100.0), Score("chrf", best=100.0), Score("ter", best=0.0, worst=math.inf))
    citation_key = "post2018call; popovic2015chrf; snover2006study"

    def __init__(self, *, main: str | None = None, tokenize: str = BLEU.TOKENIZER_DEFAULT) -> None:
        super().__init__(main=main)
        if tokenize not in BLEU.TOKENIZERS:
            raise UserError(
                f"metric '{self.name}': unknown tokenizer '{tokenize}': {suggest(tokenize, BLEU.TOKENIZERS)}"
            )
        self.tokenize = tokenize
        try:
            self._bleu()
        except (Exception, SystemExit) as error:  # sacreBLEU leaves Python where a download fails
            extra = _EXTRAS.get(tokenize)
            way = f"`pip install {extra}`" if extra else "it needs sentencepiece, and a model that it downloads"
            raise UserError(
                f"metric '{self.name}': tokenizer '{tokenize}' does not work here: {way}"
                + ("" if extra else f" ({one_line(error)})")
            ) from error

    @classmethod
    def defaults(cls, references: Answers) -> dict[str, Any]:
        tokenize = _OF_SCRIPT.get(script_of([text for reference in references for text in all_of(reference)]))
        return {"tokenize": tokenize} if tokenize else {}

    @property
    def options(self) -> dict[str, object]:
        return {**super().options, "tokenize": self.tokenize}

    @property
    def signature(self) -> str:
        scorers = {"BLEU": self._bleu(), "chrF2": CHRF(), "TER": TER()}
        for scorer in scorers.values():
            # A signature states the number of references, so it needs one.
            scorer.corpus_score(["one"], [["one"]])
        return ", ".join(f"{name}|{scorer.get_signature()}" for name, scorer in scorers.items())

    def _compute(self, references: Answers, predictions: Answers) -> dict[str, float]:
        scorers = {"bleu": self._bleu(), "chrf": CHRF(), "ter": TER()}
        return {
            name: scorer.corpus_score(*_texts(name, references, predictions)).score for name, scorer in scorers.items()
        }

    def statistics(self, references: Answers, predictions: Answers) -> FloatArray:
        """sacreBLEU's own counts: lengths and n-gram matches of BLEU, triples per order of chrF, or edits and
        reference length of TER.
        """
        self.check(references, predictions)
        scorer = {"bleu": self._bleu, "chrf": CHRF, "ter": TER}[self.main]()
        # Not public, but what sacreBLEU's own resampling uses, since 2.0.
        counts = scorer._extract_corpus_statistics(*_texts(self.main, references, predictions))
        return np.array(counts, dtype=np.float64)

    def score(self, sums: FloatArray) -> FloatArray:
        return {"bleu": _bleu, "chrf": _chrf, "ter": _ter}[self.main](sums)

    def _bleu(self) -> object:
        return BLEU(tokenize=self.tokenize)


def _texts(score: str, references: Answers, predictions: Sequence[str]) -> tuple[Any, Any]:
    """Predictions and streams of references; for TER with spaces around what counts as a word."""
    columns = streams(references)
    if score != "ter":
        return list(predictions), columns
    spaced = [[None if text is None else with_spaces(text) for text in column] for column in columns]
    return [with_spaces(text) for text in predictions], spaced


def _bleu(sums: FloatArray) -> FloatArray:
    """BLEU of counts [..., hypothesis length, reference length, 4 matches, 4 totals], as sacreBLEU smooths it."""
    length, reference_length = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    # Exponential smoothing: the k-th order without a match counts 2^-k matches.
    smoothed = np.where(matches == 0, 0.5 ** np.cumsum(matches == 0, axis=-1), matches)
    precisions = safe_divide(smoothed, totals)
    defined = (totals > 0).all(-1) & (matches > 0).any(-1)
    logs = np.log(precisions, out=np.zeros_like(precisions), where=precisions > 0).mean(-1)
    brevity = np.exp(np.minimum(0.0, 1.0 - safe_divide(reference_length, length)))
    score: FloatArray = np.where(defined, 100.0 * brevity * np.exp(logs), 0.0)
    return score


def _chrf(sums: FloatArray, beta: int = CHRF.BETA) -> FloatArray:
    """chrF of counts [..., orders·(hypothesis, reference, match)]: F-beta of mean precision and recall."""
    hypothesis, reference, match = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 3), -1, 0)
    counted = (hypothesis > 0) & (reference > 0)
    orders = counted.sum(-1).astype(np.float64)
    precision = safe_divide(np.where(counted, safe_divide(match, hypothesis), 0.0).sum(-1), orders)
    recall = safe_divide(np.where(counted, safe_divide(match, reference), 0.0).sum(-1), orders)
    return 100.0 * safe_divide((1 + beta**2) * precision * recall, beta**2 * precision + recall)


def _ter(sums: FloatArray) -> FloatArray:
    """TER of counts [..., edits, reference length]; against empty references any edit is one too many."""
    edits, length = sums[..., 0], sums[..., 1]
    return 100.0 * np.where(length > 0, safe_divide(edits, length), np.sign(edits))
