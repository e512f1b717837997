"""Statistics of methods that are scored on the same test examples.

A score has two sources of chance: the examples that happen to be in the test set, and the seed of the training run.
The estimated variance of a method's mean over its `S` seeds is

    V = σ²_seed / S + V_example,

where `σ²_seed` is the sample variance of its seeds' scores, and `V_example` the bootstrap covariance between the
scores of *different* seeds on resampled examples. Noise in a single seed's predictions is then in the first term
alone and counts once (the two-way analysis of Owen 2007, "The pigeonhole bootstrap", with its excess removed). The
difference of two methods has the same form, with `V_example` of both less twice their covariance. All runs share the
same resamples, which pairs them example by example. Resampling the seeds is no substitute: with three seeds the
variance is a third too small. So the seeds enter by Student's t.

Tests and intervals take t quantiles with Welch and Satterthwaite's degrees of freedom. Two rules keep them honest
where data are few; both were chosen by simulation (see the tests). A method's seed variance is at least the median
over the table's methods: with two or three seeds, a variance that is small by luck makes false winners. And only the
examples that two methods predict differently count as observations of their difference.

With one seed per method the variance is that of the examples alone, and the result holds for these runs only.
"""

from .ranking import LEVEL, POWER, Pair, Ranking, Standing, holm, rank
from .samples import RESAMPLES, FloatArray, Sample, mean_and_std, resampled_scores
from .tasks import AverageRanks, average_ranks

__all__ = [
    "LEVEL",
    "POWER",
    "RESAMPLES",
    "AverageRanks",
    "FloatArray",
    "Pair",
    "Ranking",
    "Sample",
    "Standing",
    "average_ranks",
    "holm",
    "mean_and_std",
    "rank",
    "resampled_scores",
]
