"""ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum, by rouge-score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from ..errors import UserError, suggest
from .base import Answers, FloatArray, Score, safe_divide
from .texts import TextMetric, all_of
from .words import words_of


class Summarization(TextMetric):
    """One text per example (Lin 2004). Each score is the mean over examples of an F-measure in [0, 1]: of unigrams, of
    bigrams, of the longest common subsequence, and of that taken line by line (`rougeLsum`). Of several references
    the best counts.

    Args:
        tokenizer: what a word is. `unicode`: a run of letters, marks and digits of any script, or one character where
            a script has no spaces. `rouge_score`: a run of a–z and 0–9, as in rouge-score itself, which drops every
            other letter. `whitespace`: what is between spaces, for texts that are tokenised already.

    The first two agree on texts of ASCII. They stem words of more than three ASCII characters by Porter's rules, which
    are for English.
    """

    scores = (Score("rougeL"), Score("rouge1"), Score("rouge2"), Score("rougeLsum"))
    citation_key = "lin2004rouge"

    def __init__(self, *, main: str | None = None, tokenizer: str = "unicode") -> None:
        super().__init__(main=main)
        if tokenizer not in TOKENIZERS:
            raise UserError(f"metric '{self.name}': unknown tokenizer '{tokenizer}': {suggest(tokenizer, TOKENIZERS)}")
        self.tokenizer = tokenizer

    @property
    def options(self) -> dict[str, object]:
        return {**super().options, "tokenizer": self.tokenizer}

    @property
    def signature(self) -> str:
        stemmer = "none" if self.tokenizer == "whitespace" else "porter"
        return f"rouge-score:{version('rouge-score')}|tokenizer:{self.tokenizer}|stemmer:{stemmer}|mean of F-measures"

    def _compute(self, references: Sequence[object], predictions: Sequence[object]) -> dict[str, float]:
        names = [score.name for score in self.scores]
        values = self._f_measures(names, references, predictions).mean(0)
        return dict(zip(names, values.tolist(), strict=True))

    def statistics(self, references: Sequence[object], predictions: Sequence[object]) -> FloatArray:
        """The example's F-measure, and 1."""
        self.check(references, predictions)
        values = self._f_measures([self.main], references, predictions)
        return np.concatenate([values, np.ones_like(values)], axis=1)

    def score(self, sums: FloatArray) -> FloatArray:
        return safe_divide(sums[..., 0], sums[..., 1])

    def _f_measures(self, names: Sequence[str], references: Answers, predictions: Answers) -> FloatArray:
        """[examples, names]."""
        scorer = RougeScorer(list(names), tokenizer=SimpleNamespace(tokenize=TOKENIZERS[self.tokenizer]))
        rows = []
        for reference, prediction in zip(references, predictions, strict=True):
            of_each = [scorer.score(text, prediction) for text in all_of(reference)]
            rows.append([max(found[name].fmeasure for found in of_each) for name in names])
        return np.array(rows)


_stemmer = PorterStemmer()


def _unicode(text: str) -> list[str]:
    return [_stemmer.stem(word) if len(word) > 3 and word.isascii() else word for word in words_of(text)]


TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "unicode": _unicode,
    "rouge_score": DefaultTokenizer(use_stemmer=True).tokenize,
    "whitespace": str.split,
}
