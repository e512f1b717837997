"""Pearson and Spearman correlation and mean squared error, by SciPy and scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import datasets
import numpy as np
import scipy
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import mean_squared_error

from .base import Answers, FloatArray, Metric, Score, is_number, safe_divide


class Regression(Metric):
    """One number per example.

    - pearson, spearman: correlation in [-1, 1]. Where either side is constant it is undefined; the score is then 0,
      because such a prediction has no order.
    - mse: mean squared error, smaller is better.
    """

    scores = (Score("pearson", worst=-1.0), Score("spearman", worst=-1.0), Score("mse", best=0.0, worst=math.inf))
    types = ((datasets.Value("float64"), datasets.Value("float64")),)
    citation_key = "virtanen2020scipy; pedregosa2011scikit"

    @property
    def signature(self) -> str:
        return f"scipy:{scipy.__version__}"

    def problem(self, value: object, *, reference: bool = False) -> str | None:
        return None if is_number(value) else "expected a finite number"

    def _compute(self, references: Answers, predictions: Answers) -> dict[str, float]:
        constant = np.ptp(references) == 0 or np.ptp(predictions) == 0
        return {
            "pearson": 0.0 if constant else pearsonr(references, predictions).statistic,
            "spearman": 0.0 if constant else spearmanr(references, predictions).statistic,
            "mse": mean_squared_error(references, predictions),
        }

    def statistics(self, references: Sequence[object], predictions: Sequence[object]) -> FloatArray:
        """The moments 1, x, y, x², y², xy of each example.

        For Spearman, x and y are ranks among all examples. A resample's own ranks would differ slightly from these;
        keeping them leaves the score of the whole sample exact and is the usual large-sample approximation.
        """
        self.check(references, predictions)
        x, y = np.asarray(references, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
        if self.main == "spearman":
            x, y = rankdata(x), rankdata(y)
        # A common shift changes neither score, and keeps the differences of moments well-conditioned.
        shift = x.mean()
        x, y = x - shift, y - shift
        return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)

    def score(self, sums: FloatArray) -> FloatArray:
        n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
        if self.main == "mse":
            return safe_divide(xx + yy - 2 * xy, n)
        spread_x, spread_y = n * xx - x * x, n * yy - y * y
        # Rounding leaves a constant side a spread of about 1e-16 of its moments, of either sign.
        constant = (spread_x <= 1e-12 * n * xx) | (spread_y <= 1e-12 * n * yy)
        product = np.where(constant, 0.0, np.maximum(spread_x, 0) * np.maximum(spread_y, 0))
        return safe_divide(n * xy - x * y, np.sqrt(product))
