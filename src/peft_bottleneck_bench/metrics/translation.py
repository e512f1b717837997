"""BLEU and chrF, by sacreBLEU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from ..errors import UserError, suggest
from .base import Figure, FloatArray, Metric, safe_divide

_ORDERS = 4  # of BLEU's n-grams


class Translation(Metric):
    """One text per example, detokenised.

    Args:
        tokenize: sacreBLEU's tokenizer for BLEU: `13a` for most languages, `zh`, `ja-mecab`, `ko-mecab`, `char`, …

    - bleu: corpus BLEU with exponential smoothing (Post 2018).
    - chrf: corpus chrF2 over character 6-grams (Popović 2015).

    Both in [0, 100].
    """

    figures = (Figure("bleu", best=100.0), Figure("chrf", best=100.0))
    citation_key = "post2018call; popovic2015chrf"

    def __init__(self, *, main: str | None = None, tokenize: str = BLEU.TOKENIZER_DEFAULT) -> None:
        super().__init__(main=main)
        if tokenize not in BLEU.TOKENIZERS:
            raise UserError(
                f"metric '{self.name}': unknown tokenizer '{tokenize}': {suggest(tokenize, BLEU.TOKENIZERS)}"
            )
        self.tokenize = tokenize

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, "tokenize": self.tokenize}

    @property
    def signature(self) -> str:
        scorers = self._bleu(), CHRF()
        for scorer in scorers:
            scorer.corpus_score(
                ["one"], [["one"]]
            )  # a signature states the number of references, so it wants to see one
        return ", ".join(
            f"{name}|{scorer.get_signature()}" for name, scorer in zip(("BLEU", "chrF2"), scorers, strict=True)
        )

    def _compute(self, references: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
        return {
            "bleu": self._bleu().corpus_score(predictions, [references]).score,
            "chrf": CHRF().corpus_score(predictions, [references]).score,
        }

    def statistics(self, references: Sequence[Any], predictions: Sequence[Any]) -> FloatArray:
        """sacreBLEU's own counts: lengths and n-gram matches of BLEU, or triples per order of chrF."""
        self.check(references, predictions)
        scorer = self._bleu() if self.main == "bleu" else CHRF()
        # Not public, but what sacreBLEU's own resampling uses, since 2.0.
        counts = scorer._extract_corpus_statistics(list(predictions), [list(references)])
        return np.array(counts, dtype=np.float64)

    def score(self, sums: FloatArray) -> FloatArray:
        return _bleu(sums) if self.main == "bleu" else _chrf(sums)

    def _bleu(self) -> Any:
        return BLEU(tokenize=self.tokenize)


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
